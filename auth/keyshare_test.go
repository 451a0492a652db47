package auth

import (
	"bytes"
	"testing"
)

func TestInstancesOnOneClusterShareAKey(t *testing.T) {
	js := oneNATS(t)
	first, err := SharedKeyring(t.Context(), js, 1)
	if err != nil {
		t.Fatal(err)
	}
	second, err := SharedKeyring(t.Context(), js, 1)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := second.Open("p", "b", first.Seal("p", "b", []byte("token")))
	if err != nil || !bytes.Equal(plain, []byte("token")) {
		t.Errorf("got %q, %v; want token", plain, err)
	}
}
