package auth

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"

	"golang.org/x/oauth2"
)

// What a caller of Refresh and of Tokens.Access can do about an error, by errors.Is.
var (
	ErrSignInRequired = errors.New("auth: the person must sign in again")
	ErrMisconfigured  = errors.New("auth: the app registration and the settings do not fit")
	ErrTemporary      = errors.New("auth: the login host cannot answer, try later")
)

// Kind says what a person can do about a sign-in that failed.
type Kind string

// The kinds of SignInError. Numbers such as AADSTS65004 refine them but never decide alone.
const (
	Declined          Kind = "declined"          // the person said no; nothing was connected
	Expired           Kind = "expired"           // took too long: start again
	Replayed          Kind = "replayed"          // this answer was used already, e.g. by a reload
	WrongState        Kind = "wrongState"        // not begun in this browser: start again
	Untrusted         Kind = "untrusted"         // the ID token is not what Microsoft would send us
	AdminNeeded       Kind = "adminNeeded"       // the organisation's admin must approve or assign
	ConsentNeeded     Kind = "consentNeeded"     // the person has to agree once more
	WrongAccountType  Kind = "wrongAccountType"  // this account cannot be used here: take another
	Misconfigured     Kind = "misconfigured"     // registration and settings do not fit: for whoever runs this
	RedirectUnknown   Kind = "redirectUnknown"   // the redirect address is not registered
	ClientUnknown     Kind = "clientUnknown"     // the client id is not registered
	SecretWrong       Kind = "secretWrong"       // the client secret is wrong, missing or not wanted
	SecretExpired     Kind = "secretExpired"     // the client secret has run out
	AudienceMismatch  Kind = "audienceMismatch"  // supported account types do not fit the tenant setting
	SessionExpired    Kind = "sessionExpired"    // Microsoft's session ended or was revoked: sign in again
	InteractionNeeded Kind = "interactionNeeded" // extra verification, or not signed in at Microsoft
	Blocked           Kind = "blocked"           // refused by a policy of the organisation
	AccountLocked     Kind = "accountLocked"     // locked, disabled, or the password has run out
	Loop              Kind = "loop"              // Microsoft saw the same sign-in too often
	TryAgain          Kind = "tryAgain"          // Microsoft's trouble, or the network's
)

// SignInError is a sign-in or refresh that did not work. It holds nothing that came from outside
// but two codes, so it can be logged and shown.
type SignInError struct {
	Kind   Kind
	AADSTS string // Microsoft's number such as "65004", "" when none came; for help texts
	Code   string // OAuth's error code such as "access_denied"
	Detail string // for the log

	troubled bool  // the server answered 5xx or 429
	decided  error // ErrSignInRequired and its like, of a refresh
	cause    error
}

func (e *SignInError) Error() string {
	text := "auth: sign-in: " + string(e.Kind)
	if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	if e.AADSTS != "" {
		text += " AADSTS" + e.AADSTS
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// Unwrap gives the network error below, if any: never a body or an address.
func (e *SignInError) Unwrap() error { return e.cause }

// Is makes errors.Is(err, ErrTemporary) and its like work: by what the refresh decided, else by
// the kind. Exactly one of the three is true of an error of Refresh.
func (e *SignInError) Is(target error) bool {
	if e.decided != nil {
		return target == e.decided
	}
	switch e.Kind {
	case TryAgain:
		return target == ErrTemporary
	case Misconfigured, RedirectUnknown, ClientUnknown, SecretWrong, SecretExpired, AudienceMismatch:
		return target == ErrMisconfigured
	}
	return false
}

// families are Microsoft's numbers and what they mean to a person.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
var families = map[Kind][]int{
	RedirectUnknown:   {50011},
	WrongAccountType:  {50020, 50034, 500208, 51004, 16000},
	AudienceMismatch:  {50194, 9002331, 9002332, 9002346, 9001023, 90124, 90130},
	ClientUnknown:     {700016},
	SecretWrong:       {7000215, 7000218, 700025},
	SecretExpired:     {7000222},
	Expired:           {501481, 50147, 501491},
	Replayed:          {54005},
	SessionExpired:    {70000, 70008, 700082, 70043, 50173, 50132, 50133, 50089},
	ConsentNeeded:     {65001},
	Declined:          {65004},
	AdminNeeded:       {65005, 90094, 90095, 50105},
	InteractionNeeded: {50074, 50076, 50079, 50058},
	Blocked:           {53000, 53001, 53003, 530032},
	AccountLocked:     {50053, 50055, 50057},
	Loop:              {50196},
	Misconfigured:     {70011, 700054},
	TryAgain:          {70012, 90033, 50033, 90006, 90024},
}

var kindOfNumber = func() map[string]Kind {
	kinds := map[string]Kind{}
	for kind, numbers := range families {
		for _, number := range numbers {
			kinds[strconv.Itoa(number)] = kind
		}
	}
	return kinds
}()

// kindOfCode is the meaning of OAuth's and OpenID Connect's codes, when no number says more.
var kindOfCode = map[string]Kind{
	"access_denied":              Declined,
	"invalid_grant":              SessionExpired,
	"consent_required":           ConsentNeeded,
	"interaction_required":       InteractionNeeded,
	"login_required":             InteractionNeeded,
	"account_selection_required": InteractionNeeded,
	"server_error":               TryAgain,
	"temporarily_unavailable":    TryAgain,
	"invalid_client":             SecretWrong,
	"unauthorized_client":        Misconfigured,
	"invalid_request":            Misconfigured,
	"invalid_scope":              Misconfigured,
	"invalid_resource":           Misconfigured,
	"unsupported_response_type":  Misconfigured,
	"unsupported_grant_type":     Misconfigured,
}

var (
	aadsts    = regexp.MustCompile(`AADSTS([0-9]{4,8})\b`)
	oauthCode = regexp.MustCompile(`^[a-z_]{1,40}$`)
)

// signInError makes the error of an answer that names code and carries a text with a number.
func signInError(code, description string, numbers ...int) *SignInError {
	e := &SignInError{Kind: Misconfigured}
	if oauthCode.MatchString(code) {
		e.Code = code
	}
	if match := aadsts.FindStringSubmatch(description); match != nil {
		e.AADSTS = match[1]
	} else if len(numbers) > 0 && numbers[0] > 0 {
		e.AADSTS = strconv.Itoa(numbers[0])
	}
	if kind, ok := kindOfNumber[e.AADSTS]; ok {
		e.Kind = kind
	} else if kind, ok := kindOfCode[code]; ok {
		e.Kind = kind
	}
	return e
}

// tokenError makes a *SignInError of what the token endpoint or the way to it answered. Nothing
// of the answer's text is kept: it names people, and a proxy's page could hold anything.
func tokenError(err error) error {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return unreachable(err)
	}
	status := 0
	if answer.Response != nil {
		status = answer.Response.StatusCode
	}
	if status >= 500 || status == http.StatusTooManyRequests {
		e := signInError(answer.ErrorCode, answer.ErrorDescription)
		e.Kind, e.troubled = TryAgain, true
		e.Detail = "token endpoint answered " + strconv.Itoa(status)
		return e
	}
	var body struct {
		Numbers []int `json:"error_codes"`
	}
	_ = json.Unmarshal(answer.Body, &body) // best effort: the numbers only refine
	e := signInError(answer.ErrorCode, answer.ErrorDescription, body.Numbers...)
	e.Detail = "token endpoint answered " + strconv.Itoa(status)
	return e
}

// codeError is tokenError for a sign-in's code. What Microsoft says of a token that has ended is
// said there of a code that lay about for too long: there is no session yet that could end.
func codeError(err error) error {
	err = tokenError(err)
	var e *SignInError
	if errors.As(err, &e) && e.Kind == SessionExpired {
		e.Kind = Expired
	}
	return err
}

// refreshError decides by OAuth's code, as Microsoft asks: numbers are only for texts. Deleting
// tokens cannot be undone, so ErrSignInRequired needs a clear word and no server's trouble.
func refreshError(err error) error {
	err = tokenError(err)
	var e *SignInError
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.troubled || e.cause != nil:
		e.decided = ErrTemporary
	case signInCodes[e.Code]:
		e.decided = ErrSignInRequired
	case e.Kind == TryAgain:
		e.decided = ErrTemporary
	default:
		e.decided = ErrMisconfigured
	}
	return e
}

// signInCodes are the codes of a refresh token that is good for nothing any more.
var signInCodes = map[string]bool{
	"invalid_grant": true, "interaction_required": true, "consent_required": true, "login_required": true,
}
