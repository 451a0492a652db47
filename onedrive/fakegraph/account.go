package fakegraph

// Account is one person (or worker) who can sign in, with the one drive that they own.
type Account struct {
	Login     string // user principal name, such as robin@demo.example
	Name      string // display name
	ObjectID  string // oid claim, a GUID
	TenantID  string // tid claim, a GUID; personal accounts share ConsumersTenant
	DriveType string // personal or business
	Note      string // one line on the account page: what this account shows
}

// ConsumersTenant is the tenant id that all personal Microsoft accounts carry.
// https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
const ConsumersTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"
