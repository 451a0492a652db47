package fakegraph

import (
	"strings"
)

// Account is one person (or worker) who can sign in, with the one drive that they own.
type Account struct {
	Login     string // user principal name, such as robin@demo.example
	Name      string // display name
	ObjectID  string // oid claim, a GUID; personal accounts' begin with 00000000-0000-0000-
	TenantID  string // tid claim, a GUID; personal accounts share ConsumersTenant
	DriveType string // personal or business
	Note      string // one line on the account page: what this account shows

	// Temper is how upload-from-URL behaves: "legacy" (works), "retired" (refused at once),
	// "retired202" (202, then failed), "retired201" (201 with an empty item) or
	// "retiredNoLocation" (202 without Location). Empty means legacy for a personal drive and
	// "not supported" for a business one.
	Temper string
	// Consent is what the identity platform knows of the person's consent: empty means given before, to
	// Options.Own for the person's own files only, "all" for all files, "ask" shows the consent page once
	// for each app, "admin" asks for an administrator.
	Consent string
	// Grants are the permissions that the person gives, offline_access among them, whatever an app asks
	// for; nil is all. Who they are is always told.
	Grants []string
}

// ConsumersTenant is the tenant id that all personal Microsoft accounts carry.
// https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
const ConsumersTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

// workTenant is the tenant of the demo's work.example.
const workTenant = "5f1b3e0a-8c57-4a83-9d27-61d0f3a7c2be"

// Personal says whether this is a personal Microsoft account.
func (a *Account) Personal() bool { return a.TenantID == ConsumersTenant }

// domain is what follows the @ of the login name, in lower case.
func (a *Account) domain() string {
	_, domain, _ := strings.Cut(strings.ToLower(a.Login), "@")
	return domain
}

// demoAccounts are the accounts of the zero Options.
func demoAccounts() []Account {
	return []Account{
		{
			Login: "robin@demo.example", Name: "Robin Demo", DriveType: "personal", Temper: "legacy",
			TenantID: ConsumersTenant, ObjectID: "00000000-0000-0000-3f1c-9a2b64d07e11",
			Note: "Personal account. OneDrive fetches URLs by itself.",
		},
		{
			Login: "kim@demo.example", Name: "Kim Demo", DriveType: "personal", Temper: "retired",
			TenantID: ConsumersTenant, ObjectID: "00000000-0000-0000-81d4-5e60b7fa2c22",
			Note: "Personal account. OneDrive refuses to fetch URLs, as Microsoft announced.",
		},
		{
			Login: "alex@work.example", Name: "Alex Work", DriveType: "business",
			TenantID: workTenant, ObjectID: "c2a9d4f6-17b3-4e58-a0cd-2b86e1f35d33",
			Note: "Work or school account. OneDrive for business never fetches URLs.",
		},
		{
			Login: "noor@demo.example", Name: "Noor Demo", DriveType: "personal", Temper: "legacy",
			TenantID: ConsumersTenant, ObjectID: "00000000-0000-0000-c7e2-0d9486b1fa44",
			Note: "Personal account. Has not agreed yet: shows the consent page.", Consent: "ask",
		},
		{
			Login: "sam@work.example", Name: "Sam Work", DriveType: "business",
			TenantID: workTenant, ObjectID: "e41b70c8-93da-4f2e-b6a5-f80c7d2e1955",
			Note: "Work or school account. Its administrator must approve apps first.", Consent: "admin",
		},
	}
}

// Accounts are all accounts in the order of the account page. They must not be changed.
func (s *Server) Accounts() []*Account {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return append([]*Account(nil), s.accounts...)
}

// AddAccount adds an account, or replaces the one with the same login name.
func (s *Server) AddAccount(a Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, known := range s.accounts {
		if strings.EqualFold(known.Login, a.Login) {
			s.accounts[i] = &a
			s.byLogin[strings.ToLower(a.Login)] = &a
			return
		}
	}
	s.accounts = append(s.accounts, &a)
	s.byLogin[strings.ToLower(a.Login)] = &a
}

// SetConsent changes what is known of an account's consent: "", "all", "ask" or "admin" (see Account).
// What it agreed to before is forgotten.
func (s *Server) SetConsent(login, consent string) {
	a := s.account(login)
	if a == nil {
		return
	}
	changed := *a
	changed.Consent = consent
	s.AddAccount(changed)
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	for key := range s.login.consents.items {
		if key.account == a.ObjectID {
			s.login.consents.drop(key)
		}
	}
}

// account finds an account by its login name, whatever the case; nil when there is none.
func (s *Server) account(login string) *Account {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byLogin[strings.ToLower(strings.TrimSpace(login))]
}

// resetAccounts puts the demo's accounts back; accounts that were added go. s.mu is held.
func (s *Server) resetAccounts() {
	s.accounts, s.byLogin = nil, map[string]*Account{}
	for _, a := range demoAccounts() {
		s.accounts = append(s.accounts, &a)
		s.byLogin[strings.ToLower(a.Login)] = &a
	}
}
