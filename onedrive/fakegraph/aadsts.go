package fakegraph

import (
	"fmt"
	"net/http"
	"strconv"
)

// stsError is a refusal of the identity platform: an OAuth error with Microsoft's number.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
type stsError struct {
	number   int    // of AADSTS…; 0 writes none
	oauth    string // error
	status   int    // of the token endpoint's answer
	text     string
	suberror string
	subcode  string // error_subcode of a redirect
	header   http.Header
}

func (e *stsError) Error() string { return e.description() }

func (e *stsError) description() string {
	if e.number == 0 {
		return e.text
	}
	return "AADSTS" + strconv.Itoa(e.number) + ": " + e.text
}

// stsKind is what the error of one number looks like. %s in text takes arguments.
type stsKind struct {
	oauth  string
	status int
	text   string
}

// sts makes the error of a number. A number that stands in no list is an invalid_request.
func sts(number int, args ...any) *stsError {
	kind, ok := stsKinds[number]
	if !ok {
		kind = stsKind{"invalid_request", 400, "The request was refused."}
	}
	e := &stsError{number: number, oauth: kind.oauth, status: kind.status, text: kind.text}
	if len(args) > 0 {
		e.text = fmt.Sprintf(kind.text, args...)
	}
	switch number {
	case 65001, 65005:
		e.suberror = "consent_required"
	case 50173, 50132, 50133, 700082, 70043, 50089:
		e.suberror = "bad_token"
	case 50074, 50076, 50079:
		e.suberror = "basic_action"
	}
	return e
}

// stsKinds are the errors that the server knows, those of its own checks and those that can be
// ordered as faults.
var stsKinds = map[int]stsKind{
	16000:   {"interaction_required", 400, "User account from identity provider does not exist in the tenant, or several accounts are signed in. Select an account."},
	28000:   {"invalid_request", 400, "Provided value for the input parameter scope is not valid because it contains more than one resource."},
	50011:   {"invalid_request", 400, "The redirect URI '%s' specified in the request does not match the redirect URIs configured for the application '%s'."},
	50020:   {"interaction_required", 400, "User account '%s' does not exist in tenant '%s' and cannot access the application '%s' in that tenant."},
	50033:   {"temporarily_unavailable", 503, "A transient error occurred. Please try again."},
	50034:   {"invalid_grant", 400, "The user account '%s' does not exist in the directory."},
	50049:   {"invalid_instance", 400, "Unknown or invalid instance."},
	50053:   {"invalid_grant", 400, "The account is locked, you've tried to sign in too many times."},
	50055:   {"invalid_grant", 400, "The password is expired."},
	50057:   {"invalid_grant", 400, "The user account is disabled."},
	50058:   {"login_required", 400, "A silent sign-in request was sent but no user is signed in."},
	50074:   {"interaction_required", 400, "Strong authentication is required."},
	50076:   {"interaction_required", 400, "Due to a configuration change made by your administrator, you must use multi-factor authentication."},
	50079:   {"interaction_required", 400, "Due to a configuration change made by your administrator, you must enroll in multi-factor authentication."},
	50089:   {"invalid_grant", 400, "Authentication failed due to flow token expired."},
	50105:   {"interaction_required", 400, "The signed in user is not assigned to a role for the application."},
	50132:   {"invalid_grant", 400, "The credentials have been revoked."},
	50133:   {"invalid_grant", 400, "Session is invalid due to expiration or recent password change."},
	50149:   {"invalid_request", 400, "Invalid Code_challenge_method parameter."},
	50173:   {"invalid_grant", 400, "The provided grant has expired due to it being revoked, a fresh auth token is needed."},
	50194:   {"invalid_request", 400, "Application '%s' is not configured as a multi-tenant application. Usage of the /common endpoint is not supported for such apps."},
	50196:   {"invalid_grant", 400, "The server terminated an operation because it encountered a client request loop."},
	51004:   {"invalid_grant", 400, "The user account does not exist in the directory."},
	53000:   {"interaction_required", 400, "Your device is required to be compliant to access this resource."},
	53001:   {"interaction_required", 400, "Your device is required to be joined to the domain to access this resource."},
	53003:   {"interaction_required", 400, "Access has been blocked by Conditional Access policies."},
	54005:   {"invalid_grant", 400, "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token."},
	65001:   {"invalid_grant", 400, "The user or administrator has not consented to use the application '%s'. Send an interactive authorization request for this user and resource."},
	65004:   {"access_denied", 400, "User declined to consent to access the app."},
	65005:   {"invalid_grant", 400, "The application required resource access that needs an administrator's consent."},
	70000:   {"invalid_grant", 400, "The provided value for the input parameter '%s' is not valid."},
	70003:   {"unsupported_grant_type", 400, "The app requested an unsupported grant type '%s'."},
	70005:   {"unsupported_response_type", 400, "The app returned an unsupported response type '%s'."},
	70007:   {"invalid_request", 400, "The app returned an unsupported value of response_mode '%s'."},
	70008:   {"invalid_grant", 400, "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource."},
	70011:   {"invalid_scope", 400, "The provided value for the input parameter 'scope' is not valid. The scope '%s' is not valid."},
	70012:   {"server_error", 500, "A server error occurred while authenticating an MSA (consumer) user."},
	70016:   {"authorization_pending", 400, "OAuth 2.0 device flow error. Authorization is pending. Continue polling."},
	70018:   {"bad_verification_code", 400, "Invalid verification code."},
	70019:   {"expired_token", 400, "Verification code expired."},
	70043:   {"invalid_grant", 400, "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access."},
	90002:   {"invalid_request", 400, "Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."},
	90006:   {"server_error", 500, "The service is temporarily unavailable. Please retry later."},
	90015:   {"invalid_request", 400, "The query string is too long."},
	90023:   {"invalid_request", 400, "Unsupported '%s' value."},
	90024:   {"temporarily_unavailable", 503, "A transient error has occurred. Please try again."},
	90033:   {"temporarily_unavailable", 503, "A transient error has occurred. Please try again."},
	90094:   {"access_denied", 400, "An administrator of '%s' has set a policy that prevents you from granting '%s' the permissions it is requesting. Contact an administrator, who can grant permissions to this app on your behalf."},
	90095:   {"access_denied", 400, "Admin consent is required. An approval request can be sent to the administrator."},
	500011:  {"invalid_resource", 400, "The resource principal named '%s' was not found in the tenant."},
	500112:  {"invalid_client", 400, "The reply address '%s' does not match the reply address provided when requesting Authorization code."},
	500208:  {"interaction_required", 400, "The domain of '%s' is not a valid login domain for the account type."},
	501481:  {"invalid_grant", 400, "The Code_Verifier does not match the code_challenge supplied in the authorization request."},
	501491:  {"invalid_request", 400, "Invalid size of Code_Challenge parameter."},
	530032:  {"interaction_required", 400, "Blocked by security policy."},
	700016:  {"unauthorized_client", 400, "Application with identifier '%s' was not found in the directory."},
	700025:  {"invalid_client", 401, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented."},
	700051:  {"unsupported_response_type", 400, "response_type 'token' is not enabled for the application."},
	700054:  {"unsupported_response_type", 400, "response_type 'id_token' is not enabled for the application."},
	700082:  {"invalid_grant", 400, "The refresh token has expired due to inactivity."},
	900144:  {"invalid_request", 400, "The request body must contain the following parameter: '%s'."},
	900561:  {"invalid_request", 400, "The endpoint only accepts POST requests. Received a %s request."},
	900971:  {"invalid_request", 400, "No reply address provided."},
	7000215: {"invalid_client", 401, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'."},
	7000218: {"invalid_client", 401, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."},
	7000222: {"invalid_client", 401, "The provided client secret keys for app '%s' are expired."},
	9000411: {"invalid_request", 400, "The request is not properly formatted. The parameter '%s' is duplicated."},
	9002313: {"invalid_request", 400, "Invalid request. Request is malformed or invalid."},
	9002325: {"invalid_request", 400, "Proof Key for Code Exchange is required for cross-origin authorization code redemption."},
	9002326: {"invalid_request", 400, "Cross-origin token redemption is permitted only for the 'Single-Page Application' client-type. Request origin: '%s'."},
	9002327: {"invalid_request", 400, "Tokens issued for the 'Single-Page Application' client-type may only be redeemed via cross-origin requests."},
	9002331: {"unauthorized_client", 400, "Application '%s' is configured for use by Microsoft Account users only. Please use the /consumers endpoint to serve this request."},
	9002332: {"unauthorized_client", 400, "Application '%s' is configured for use by Microsoft Entra users only. Please do not use the /consumers endpoint to serve this request."},
}

// stsBody is the JSON of a refusal and stamps the answer with its ids.
func (s *Server) stsBody(w http.ResponseWriter, r *http.Request, e *stsError) map[string]any {
	trace, correlation := newGUID(), correlationID(r)
	w.Header().Set("x-ms-request-id", trace)
	w.Header().Set("client-request-id", correlation)
	when := s.now().UTC().Format("2006-01-02 15:04:05Z")
	body := map[string]any{
		"error":             e.oauth,
		"error_description": fmt.Sprintf("%s Trace ID: %s Correlation ID: %s Timestamp: %s", e.description(), trace, correlation, when),
		"error_codes":       []int{e.number}, "timestamp": when, "trace_id": trace, "correlation_id": correlation,
	}
	if e.number != 0 {
		body["error_uri"] = s.base(r) + "/error?code=" + strconv.Itoa(e.number)
	}
	if e.suberror != "" {
		body["suberror"] = e.suberror
	}
	return body
}

// refuse answers a program with the JSON of a refusal.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, e *stsError) {
	body := s.stsBody(w, r, e)
	for name, values := range e.header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.Header().Set("Cache-Control", "no-store, no-cache")
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, e.status, body)
}

// correlationID is the caller's client-request-id, or a random one.
func correlationID(r *http.Request) string {
	for _, id := range []string{r.Header.Get("client-request-id"), r.URL.Query().Get("client-request-id")} {
		if isGUID(id) {
			return id
		}
	}
	return newGUID()
}

// isGUID says whether a text is 32 hex digits grouped 8-4-4-4-12.
func isGUID(id string) bool {
	if len(id) != 36 {
		return false
	}
	for i, c := range []byte(id) {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}
