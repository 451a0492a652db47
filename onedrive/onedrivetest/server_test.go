package onedrivetest_test

import (
	"testing"

	"skylift/onedrive/onedrivetest"
)

func TestTokensChangeOnlyWhenTheyAreStale(t *testing.T) {
	tokens := onedrivetest.NewServer(t).Tokens("robin@demo.example")
	first, err := tokens(t.Context(), "")
	if err != nil || first == "" {
		t.Fatalf("first token = %q, %v", first, err)
	}
	if again, _ := tokens(t.Context(), ""); again != first {
		t.Errorf("the token changed without being stale")
	}
	if next, _ := tokens(t.Context(), first); next == "" || next == first {
		t.Errorf("a stale token was given again")
	}
}

func TestClientsAreSignedIn(t *testing.T) {
	s := onedrivetest.NewServer(t)
	want := map[string]string{"robin@demo.example": "personal", "alex@work.example": "business"}
	for login, driveType := range want {
		drive, err := s.Client(t, login).Drive(t.Context(), "")
		if err != nil || drive.DriveType != driveType || drive.ID == "" {
			t.Errorf("Drive of %s = %+v, %v; want driveType %s", login, drive, err, driveType)
		}
	}
}
