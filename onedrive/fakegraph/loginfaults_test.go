package fakegraph

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestFaultsOfTheSignIn(t *testing.T) {
	const robin = "robin@demo.example"
	for _, row := range []struct {
		name   string
		fault  Fault
		call   func(v *site) answer
		status int
		says   string // of the body, or of the redirect
	}{
		{"metadata down", Fault{Phase: PhaseDiscover, Status: 503}, (*site).metadataAnswer, 503, "temporarily_unavailable"},
		{"metadata garbled", Fault{Phase: PhaseDiscover, Action: WrongShape}, (*site).metadataAnswer, 200, `[{"id"`},
		{"keys down", Fault{Phase: PhaseKeys, Status: 500}, (*site).keysAnswer, 500, "AADSTS90033"},
		{"keys of nobody", Fault{Phase: PhaseKeys, Status: 200, Body: `{"keys":[]}`}, (*site).keysAnswer, 200, `{"keys":[]}`},
		{"token throttled", Fault{Phase: PhaseToken, Status: 429, Header: map[string]string{"Retry-After": "7"}}, (*site).codeAnswer, 429, "temporarily_unavailable"},
		{"token says MFA", Fault{Phase: PhaseToken, Code: "AADSTS50076"}, (*site).codeAnswer, 400, "interaction_required"},
		{"token answers HTML", Fault{Phase: PhaseToken, Status: 502, Body: "<html>"}, (*site).codeAnswer, 502, "<html>"},
		{"refresh says revoked", Fault{Phase: PhaseRefresh, Code: "AADSTS50173", Account: robin}, (*site).refreshAnswer, 400, "invalid_grant"},
		{"refresh down", Fault{Phase: PhaseRefresh, Status: 500}, (*site).refreshAnswer, 500, "temporarily_unavailable"},
		{"a refresh fault leaves codes alone", Fault{Phase: PhaseRefresh, Status: 500}, (*site).codeAnswer, 200, "access_token"},
		{"another account's fault hits nobody else", Fault{Phase: PhaseToken, Status: 500, Account: "kim@demo.example"}, (*site).codeAnswer, 200, "access_token"},
		{"me says 401", Fault{Phase: PhaseMe, Status: 401}, (*site).meAnswer, 401, "InvalidAuthenticationToken"},
		{"authorize says blocked by policy", Fault{Phase: PhaseAuthorize, Code: "AADSTS53003"}, (*site).authorizeAnswer, 302, "error=interaction_required"},
		{"authorize says locked", Fault{Phase: PhaseAuthorize, Code: "AADSTS50053"}, (*site).authorizeAnswer, 302, "error=access_denied"},
		{"authorize says temporary", Fault{Phase: PhaseAuthorize, Code: "AADSTS90024"}, (*site).authorizeAnswer, 302, "error=temporarily_unavailable"},
		{"authorize says wrong address to the person", Fault{Phase: PhaseAuthorize, Code: "AADSTS50011"}, (*site).authorizeAnswer, 400, "AADSTS50011"},
		{"authorize down", Fault{Phase: PhaseAuthorize, Status: 503}, (*site).authorizeAnswer, 503, "AADSTS90033"},
	} {
		t.Run(row.name, func(t *testing.T) {
			v := newSite(t, Options{Prefix: "/demo"})
			o := v.Faults().Add(row.fault)
			got := row.call(v)
			if got.StatusCode != row.status || !strings.Contains(got.body+got.Header.Get("Location"), row.says) || strings.Contains(got.body, "%s") {
				t.Fatalf("got %d %s %s, want %d with %q", got.StatusCode, got.Header.Get("Location"), got.body, row.status, row.says)
			}
			if row.fault.Header != nil && got.Header.Get("Retry-After") != "7" {
				t.Errorf("no Retry-After in %v", got.Header)
			}
			o.Remove()
			if again := row.call(v); again.StatusCode >= 400 || strings.Contains(again.Header.Get("Location"), "error=") {
				t.Errorf("after the fault: %d %s %s", again.StatusCode, again.Header.Get("Location"), again.body)
			}
		})
	}
}

func (v *site) metadataAnswer() answer { return v.get("/common/v2.0/.well-known/openid-configuration") }
func (v *site) keysAnswer() answer     { return v.get("/common/discovery/v2.0/keys") }
func (v *site) codeAnswer() answer     { return v.token(codeForm(v.code("robin@demo.example"))) }
func (v *site) meAnswer() answer       { return v.me(v.Token("robin@demo.example")) }

func (v *site) refreshAnswer() answer {
	return v.token(refreshForm(v.tokens(v.code("robin@demo.example")).text("refresh_token")))
}

func (v *site) authorizeAnswer() answer {
	return v.authorize("common", "prompt", "none", "login_hint", "robin@demo.example")
}

func TestALostTokenAnswerHasSpentTheCode(t *testing.T) {
	v := newSite(t, Options{})
	form := codeForm(v.code("robin@demo.example"))
	v.Faults().Add(Fault{Phase: PhaseToken, Action: Reset, After: true})
	if _, err := http.PostForm(v.url+"/common/oauth2/v2.0/token", form); err == nil {
		t.Fatal("the answer wasn't lost")
	}
	if got := v.token(form); fmt.Sprint(got.json["error_codes"]) != "[54005]" {
		t.Errorf("got %s, want 54005", got.body)
	}
}

func TestAStalledRefreshGoesOn(t *testing.T) {
	v := newSite(t, Options{})
	form := refreshForm(v.tokens(v.code("robin@demo.example")).text("refresh_token"))
	o := v.Faults().Add(Fault{Phase: PhaseRefresh, Action: Stall, For: time.Hour})
	done := make(chan int)
	go func() { // ends with its request
		response, err := http.PostForm(v.url+"/common/oauth2/v2.0/token", form)
		if err != nil {
			t.Error(err)
			close(done)
			return
		}
		response.Body.Close()
		done <- response.StatusCode
	}()
	<-o.Hit()
	o.Release()
	if got := <-done; got != http.StatusOK {
		t.Errorf("got %d", got)
	}
}

func TestConsentCanBeTakenBack(t *testing.T) {
	v := newSite(t, Options{})
	v.SetConsent("Robin@demo.example", "ask")
	page := v.press(v.authorize("common"), "login", "robin@demo.example")
	if q := v.redirect(v.press(page, "consent", "accept")); !q.Has("code") {
		t.Fatalf("got %v", q)
	}
	v.code("robin@demo.example")
	v.SetConsent("robin@demo.example", "ask")
	if q := v.redirect(v.authorizeAnswer()); q.Get("error") != "consent_required" {
		t.Errorf("got %v, want consent_required again", q)
	}
	v.SetConsent("robin@demo.example", "admin")
	if q, _ := url.ParseQuery(v.redirect(v.authorizeAnswer()).Encode()); !strings.HasPrefix(q.Get("error_description"), "AADSTS90094") {
		t.Errorf("got %v, want 90094", q)
	}
	v.Reset()
	v.code("robin@demo.example")
}
