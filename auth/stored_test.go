package auth

import (
	"encoding/base64"
	"testing"
	"time"
)

// TestReadsWhatVersionOneStored holds records as version 1 wrote them, sealed with the key
// below: whoever changes a record must still read these.
func TestReadsWhatVersionOneStored(t *testing.T) {
	k, err := OpenKeyring("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := base64.StdEncoding.DecodeString(storedTokens)
	if err != nil {
		t.Fatal(err)
	}
	js := oneNATS(t)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	tokens := openTokens(t, js, k, &microsoft{now: time.Now}, func() time.Time { return now })
	if _, err := tokens.bucket.put(t.Context(), "t."+robin.ID, sealed, 0); err != nil {
		t.Fatal(err)
	}
	record, _, err := tokens.load(t.Context(), robin.ID)
	if err != nil || record.Version != 1 || record.Refresh != "stored-refresh" {
		t.Errorf("tokens: %+v, %v", record, err)
	}
	if access, err := tokens.Access(t.Context(), robin.ID, ""); err != nil || access != "stored-access" {
		t.Errorf("access: %q, %v", access, err)
	}
	users, err := OpenUsers(t.Context(), js, 1)
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"u." + robin.ID: `{"v":1,"id":"` + robin.ID + `","tenantId":"` + robin.TenantID + `","objectId":"` + robin.ObjectID + `","name":"Robin","username":"robin@demo.example"}`,
		"p." + robin.ID: `{"v":1,"prefs":{"folder":"x"}}`,
	} {
		if _, err := users.bucket.put(t.Context(), key, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	var prefs struct{ Folder string }
	if err := users.Prefs(t.Context(), robin.ID, &prefs); err != nil || prefs.Folder != "x" {
		t.Errorf("prefs: %+v, %v", prefs, err)
	}
	if user, err := users.Get(t.Context(), robin.ID); err != nil || user != robin {
		t.Errorf("user: %+v, %v", user, err)
	}
	devices, err := OpenDevices(t.Context(), js, 1, "")
	if err != nil {
		t.Fatal(err)
	}
	devices.Now = func() time.Time { return now }
	key := "skl_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
	stored := `{"v":1,"id":"AAECAwQFBgcICQoL","userId":"` + robin.ID + `","name":"Firefox","created":"2026-11-22T10:00:00Z","lastUsed":"2026-11-22T11:00:00Z","expires":"2027-02-20T10:00:00Z"}`
	if _, err := devices.bucket.put(t.Context(), "k."+hashed(key), []byte(stored), 0); err != nil {
		t.Fatal(err)
	}
	if device, err := devices.Authenticate(t.Context(), key); err != nil || device.Name != "Firefox" || device.UserID != robin.ID {
		t.Errorf("device: %+v, %v", device, err)
	}
}

func TestUsersKeepProfileAndPreferences(t *testing.T) {
	users, err := OpenUsers(t.Context(), oneNATS(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := users.Get(t.Context(), robin.ID); err != ErrNotFound {
		t.Errorf("nobody: %v", err)
	}
	prefs := map[string]string{"kept": "as it is"}
	if err := users.Prefs(t.Context(), robin.ID, &prefs); err != nil || prefs["kept"] == "" {
		t.Errorf("no preferences: %v, %v", prefs, err)
	}
	if err := users.SetPrefs(t.Context(), robin.ID, map[string]string{"folder": "x"}); err != nil {
		t.Fatal(err)
	}
	if err := users.Put(t.Context(), robin); err != nil {
		t.Fatal(err)
	}
	renamed := robin
	renamed.Name = "Robin B."
	if err := users.Put(t.Context(), renamed); err != nil {
		t.Fatal(err)
	}
	if got, err := users.Get(t.Context(), robin.ID); err != nil || got != renamed {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := users.Prefs(t.Context(), robin.ID, &prefs); err != nil || prefs["folder"] != "x" {
		t.Errorf("a new sign-in changed the preferences: %v, %v", prefs, err)
	}
	if err := users.Delete(t.Context(), robin.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := users.Get(t.Context(), robin.ID); err != ErrNotFound {
		t.Errorf("deleted: %v", err)
	}
}

const storedTokens = "AafgTf48a8bu00Obc9P8Rp0LxFN0w72MlF9u0U8eq23IqqbuC7FL71MA0dNY2SqczpZqYNjpnoPiAyAXkPtuBh2qFUWwjAUOecuTJ90eMgUE10blawhOZ026PE3B6tKoKbuyxGcqaqENIARJmmHbHHyqRgUFH5/Dw8pwRXQ="
