package onedrive_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"skylift/onedrive"
)

// kinds are all kinds, to see that an error is of one only.
var kinds = map[string]error{
	"ErrThrottled": onedrive.ErrThrottled, "ErrUnavailable": onedrive.ErrUnavailable, "ErrNotFound": onedrive.ErrNotFound,
	"ErrNameExists": onedrive.ErrNameExists, "ErrQuota": onedrive.ErrQuota, "ErrAccessDenied": onedrive.ErrAccessDenied,
	"ErrUnauthenticated": onedrive.ErrUnauthenticated, "ErrNotSupported": onedrive.ErrNotSupported, "ErrLocked": onedrive.ErrLocked,
	"ErrMalware": onedrive.ErrMalware, "ErrModified": onedrive.ErrModified, "ErrRange": onedrive.ErrRange,
	"ErrSessionGone": onedrive.ErrSessionGone, "ErrNoDrive": onedrive.ErrNoDrive, "ErrTooLarge": onedrive.ErrTooLarge,
	"ErrBadName": onedrive.ErrBadName, "ErrRefused": onedrive.ErrRefused, "ErrForeignHost": onedrive.ErrForeignHost,
	"ErrNativeUnavailable": onedrive.ErrNativeUnavailable, "ErrNoMonitor": onedrive.ErrNoMonitor,
}

// isOnly fails unless the error is of exactly these kinds.
func isOnly(t *testing.T, err error, want ...error) {
	t.Helper()
	for name, kind := range kinds {
		wanted := false
		for _, w := range want {
			wanted = wanted || w == kind
		}
		if errors.Is(err, kind) != wanted {
			t.Errorf("%v is %s: %v, want %v", err, name, !wanted, wanted)
		}
	}
}

func TestErrorsOfGraphHaveOneKind(t *testing.T) {
	rows := map[string]struct {
		kind error
		code string
		wait time.Duration
	}{
		"400-general":                   {kind: onedrive.ErrRefused, code: "invalidRequest"},
		"400-no-spo-license":            {kind: onedrive.ErrNoDrive, code: "BadRequest"},
		"404-no-mysite":                 {kind: onedrive.ErrNoDrive, code: "itemNotFound"},
		"401-token":                     {kind: onedrive.ErrUnauthenticated, code: "InvalidAuthenticationToken"},
		"401-rps":                       {kind: onedrive.ErrUnavailable, code: "InvalidAuthenticationToken"},
		"403-denied":                    {kind: onedrive.ErrAccessDenied, code: "accessRestricted"},
		"404-item":                      {kind: onedrive.ErrNotFound, code: "itemNotFound"},
		"409-name":                      {kind: onedrive.ErrNameExists, code: "nameAlreadyExists"},
		"409-modified":                  {kind: onedrive.ErrModified, code: "resourceModified"},
		"412-modified":                  {kind: onedrive.ErrModified, code: "entityTagDoesNotMatch"},
		"412-not-allowed":               {kind: onedrive.ErrModified, code: "preconditionFailed"},
		"412-without-inner":             {kind: onedrive.ErrModified, code: "notAllowed"},
		"423-locked":                    {kind: onedrive.ErrLocked, code: "resourceLocked"},
		"423-access-denied":             {kind: onedrive.ErrLocked, code: "accessDenied"},
		"429-seconds":                   {kind: onedrive.ErrThrottled, code: "throttledRequest", wait: 13 * time.Second},
		"429-without-wait":              {kind: onedrive.ErrThrottled, code: "TooManyRequests"},
		"429-rate-limit":                {kind: onedrive.ErrThrottled, wait: 31 * time.Second},
		"500-general":                   {kind: onedrive.ErrUnavailable, code: "generalException"},
		"503-html":                      {kind: onedrive.ErrUnavailable},
		"503-not-available-retry-after": {kind: onedrive.ErrThrottled, code: "serviceNotAvailable", wait: 30 * time.Second},
		"503-limit":                     {kind: onedrive.ErrThrottled, code: "activityLimitReached"},
		"503-retry-after":               {kind: onedrive.ErrThrottled, wait: 30 * time.Second},
		"507-full":                      {kind: onedrive.ErrQuota, code: "quotaLimitReached"},
		"509-bandwidth":                 {kind: onedrive.ErrThrottled, wait: time.Minute},
		"403-malware":                   {kind: onedrive.ErrMalware, code: "virusSuspicious"},
		"403-virus-inside":              {kind: onedrive.ErrMalware, code: "virusSuspicious"},
		"403-provisioning":              {kind: onedrive.ErrNoDrive, code: "provisioningNotAllowed"},
		"501-not-supported":             {kind: onedrive.ErrNotSupported, code: "notSupported"},
		"302-redirect":                  {kind: onedrive.ErrForeignHost},
	}
	for file, row := range rows {
		t.Run(file, func(t *testing.T) {
			p := play(t, "error/"+file)
			_, err := p.client.Item(t.Context(), onedrive.Ref{ID: "A1!7"})
			isOnly(t, err, row.kind)
			var e *onedrive.Error
			if !errors.As(err, &e) || e.Code != row.code || e.RetryAfter != row.wait {
				t.Fatalf("error = %#v, want %+v", err, row)
			}
			if row.code != "" && len(e.Inner) > 0 && file != "409-name" && strings.Contains(err.Error(), "Wording") {
				t.Errorf("%q shows Microsoft's free text", err)
			}
		})
	}
	everyFileHasARow(t, "error", func(file string) bool { _, found := rows[file]; return found })
}

func TestDriveOfAnAccountWithoutOneDrive(t *testing.T) {
	for _, file := range []string{"error/400-no-spo-license", "error/404-no-mysite", "error/400-general", "error/404-item"} {
		_, err := play(t, file).client.Drive(t.Context(), "")
		if isOnly(t, err, onedrive.ErrNoDrive); t.Failed() {
			t.Fatal(file)
		}
	}
	_, err := play(t, "error/404-item").client.Drive(t.Context(), "b!1")
	isOnly(t, err, onedrive.ErrNotFound)
}

func TestARefusedTokenIsRefreshedOnce(t *testing.T) {
	token := func(_ context.Context, stale string) (string, error) {
		if stale == "" {
			return "old", nil
		}
		return "after-" + stale, nil
	}
	t.Run("the new one passes", func(t *testing.T) {
		p := play(t, "error/401-token", "graph/200-item")
		g, _ := onedrive.New(onedrive.Config{GraphURL: p.URL + "/v1.0"})
		item, err := g.Client(token).Item(t.Context(), onedrive.Ref{})
		asked := p.requests()
		if err != nil || item.Name != "tabby.jpg" || len(asked) != 2 || asked[1].header.Get("Authorization") != "Bearer after-old" {
			t.Errorf("item %+v, %v after %d requests", item, err, len(asked))
		}
		if a, b := asked[0].header.Get("Client-Request-Id"), asked[1].header.Get("Client-Request-Id"); a == "" || a == b || len(a) != 36 {
			t.Errorf("client-request-id %q, then %q", a, b)
		}
	})
	for _, row := range []struct {
		name  string
		own   string // what the own drive says to the new one
		drive string // whose item is asked for
		want  error
	}{
		{"the new one is refused everywhere", "error/401-token", "", onedrive.ErrUnauthenticated},
		{"the new one is refused by this call only", "graph/200-drive-personal", "", onedrive.ErrUnavailable},
		{"the new one is refused by this call only, to the own drive by its id", "graph/200-drive-personal", "5B1E9F0A22C4D7E3", onedrive.ErrUnavailable},
		{"the new one is refused by another's drive", "graph/200-drive-personal", "b!another", onedrive.ErrAccessDenied},
		{"the own drive has trouble of its own", "error/503-html", "b!another", onedrive.ErrUnavailable},
		{"the own drive stumbles", "error/401-rps", "b!another", onedrive.ErrUnavailable},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := play(t, "error/401-token", "error/401-token", row.own)
			g, _ := onedrive.New(onedrive.Config{GraphURL: p.URL + "/v1.0"})
			_, err := g.Client(token).Item(t.Context(), onedrive.Ref{DriveID: row.drive, ID: "A1!7"})
			isOnly(t, err, row.want)
			asked := p.requests()
			if n := len(asked); n != 3 || asked[n-1].path != "/v1.0/me/drive" || asked[n-1].header.Get("Authorization") != "Bearer after-old" {
				t.Errorf("%d requests, the last to %s; want 3", n, asked[n-1].path)
			}
		})
	}
	t.Run("Microsoft's check is out of order", func(t *testing.T) {
		p := play(t, "error/401-rps")
		g, _ := onedrive.New(onedrive.Config{GraphURL: p.URL + "/v1.0"})
		_, err := g.Client(token).Item(t.Context(), onedrive.Ref{})
		isOnly(t, err, onedrive.ErrUnavailable)
		if n := len(p.requests()); n != 1 {
			t.Errorf("%d requests, want 1: the token is not at fault", n)
		}
	})
	t.Run("there is no other", func(t *testing.T) {
		gone := errors.New("gone")
		p := play(t, "error/401-token")
		g, _ := onedrive.New(onedrive.Config{GraphURL: p.URL + "/v1.0"})
		_, err := g.Client(func(_ context.Context, stale string) (string, error) {
			if stale != "" {
				return "", gone
			}
			return "old", nil
		}).Item(t.Context(), onedrive.Ref{})
		if !errors.Is(err, gone) {
			t.Errorf("error = %v, want the source's own", err)
		}
	})
}

func TestANetworkErrorHidesTheURL(t *testing.T) {
	p, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	_, err := p.client.UploadStatus(t.Context(), onedrive.SecretURL(p.URL+"/up?tempauth=very-secret"))
	isOnly(t, err, onedrive.ErrUnavailable)
	if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "/up") {
		t.Errorf("error = %v", err)
	}
}

func TestACancelledCallIsNoFaultOfMicrosoft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
	_, err := p.client.Item(ctx, onedrive.Ref{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
	isOnly(t, err)
}

func TestAnAnswerThatIsNoItemIsAnError(t *testing.T) {
	for _, body := range []string{"", "{}", "null", "[]", "<html>", `{"id":7}`} {
		p, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(body)) })
		if _, err := p.client.Item(t.Context(), onedrive.Ref{}); !errors.Is(err, onedrive.ErrUnavailable) {
			t.Errorf("body %q: %v, want ErrUnavailable", body, err)
		}
	}
}
