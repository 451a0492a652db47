package main

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSettings(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		env  []string
		ok   func(*settings) bool
	}{
		{"nothing set is the demo on localhost:8080", nil, nil, func(s *settings) bool {
			return s.demo() && s.Listen == "localhost:8080" && s.Data == "data" && s.NativeStall == time.Minute && s.MaxBytes == 10<<30
		}},
		{"a flag wins over its variable", []string{"-listen", "localhost:1"}, []string{"SKYLIFT_LISTEN=localhost:2"}, func(s *settings) bool { return s.Listen == "localhost:1" }},
		{"a flag's name has hyphens", []string{"-native-stall=5s"}, nil, func(s *settings) bool { return s.NativeStall == 5*time.Second }},
		{"a secret comes from a file", nil, []string{"SKYLIFT_CLIENT_ID=id", "SKYLIFT_CLIENT_SECRET_FILE=" + secret}, func(s *settings) bool {
			return !s.demo() && s.ClientSecret == "s3cret"
		}},
		{"a secret's flag wins over the file that the environment names", []string{"-client-secret", "flag", "-client-id", "id"}, []string{"SKYLIFT_CLIENT_SECRET_FILE=/nowhere"}, func(s *settings) bool {
			return s.ClientSecret == "flag"
		}},
		{"the flag of a secret's file wins over the secret of the environment", []string{"-client-secret-file", secret, "-client-id", "id"}, []string{"SKYLIFT_CLIENT_SECRET=env"}, func(s *settings) bool {
			return s.ClientSecret == "s3cret"
		}},
		{"hosts as the client of OneDrive takes them", nil, []string{"SKYLIFT_MICROSOFT_HOSTS=a.example,*.b.example,.c.example,d.example:8443"}, func(s *settings) bool { return len(s.MicrosoftHosts) == 4 }},
		{"a cluster", nil, []string{"SKYLIFT_NATS=nats://u:p@n1:4222, n2:4222,tls://n3", "SKYLIFT_NATS_REPLICAS=3"}, func(s *settings) bool { return s.NATSReplicas == 3 }},
		{"empty metrics is off", nil, []string{"SKYLIFT_METRICS="}, func(s *settings) bool { return s.Metrics == off }},
		{"lists split at commas", nil, []string{"SKYLIFT_ALLOW_SOURCES=localhost:1,[::1]:2"}, func(s *settings) bool { return len(s.AllowSources) == 2 }},
		{"sizes as people write them", nil, []string{"SKYLIFT_MAX_BYTES=1.5MB"}, func(s *settings) bool { return s.MaxBytes == 1500000 }},
		{"a trailing slash of the address goes", nil, []string{"SKYLIFT_URL=https://skylift.example/"}, func(s *settings) bool {
			return s.URL == "https://skylift.example" && s.secure()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := readSettings(tt.args, tt.env, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.ok(s) {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := readSettings([]string{"-nonsense=1", "stray", "-native-stall=0s", "-data", file, "-tenant"}, []string{
		"SKYLIFT_LISTEN=8080", "SKYLIFT_URL=skylift.example", "SKYLIFT_CLIENT_ID=id", "SKYLIFT_TENANT=mars", "SKYLIFT_NATIVE=perhaps",
		"SKYLIFT_MICROSOFT_HOSTS=a.example,https://b.example", "SKYLIFT_NATS_REPLICAS=3", "SKYLIFT_LISTEN_FILE=x",
		"SKYLIFT_ALLOW_SOURCES=localhost", "SKYLIFT_EMBED_ORIGINS=intranet", "SKYLIFT_TRUSTED_PROXIES=proxy",
		"SKYLIFT_KEYS=short", "SKYLIFT_METRICS=no", "SKYLIFT_LISTENN=x",
	}, io.Discard)
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{"LISTEN:", "URL:", "CLIENT_ID:", "TENANT:", "NATIVE:", "NATIVE_STALL:", "ALLOW_SOURCES:", "EMBED_ORIGINS:", "TRUSTED_PROXIES:", "KEYS:", "METRICS:", "LISTENN:",
		"MICROSOFT_HOSTS:", "NATS_REPLICAS:", "LISTEN_FILE:", "DATA:"} {
		if !strings.Contains(err.Error(), prefix+name) {
			t.Errorf("%s%s is not in %v", prefix, name, err)
		}
	}
	for _, flag := range []string{"-nonsense", `"stray"`, "-tenant"} {
		if !strings.Contains(err.Error(), flag) {
			t.Errorf("%s is not in %v", flag, err)
		}
	}
	for _, nats := range []string{"http://n1:4222", "nats://u:secret@n1:port", "nats://", "nats://n1:4222,,"} {
		_, err := readSettings(nil, []string{"SKYLIFT_NATS=" + nats}, io.Discard)
		if err == nil || !strings.Contains(err.Error(), prefix+"NATS:") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", nats, err)
		}
	}
	_, err = readSettings(nil, []string{"SKYLIFT_MAX_BYTES=lots", "SKYLIFT_NATIVE_STALL=soon", "SKYLIFT_LOG=loud", "SKYLIFT_LISTEN=8080", "SKYLIFT_NATIVE=perhaps"}, io.Discard)
	if n := strings.Count(err.Error(), "\n"); n != 5 {
		t.Errorf("%d problems, want each of the five once: %v", n, err)
	}
	for _, name := range []string{"MAX_BYTES:", "NATIVE_STALL:", "LOG:", "LISTEN:", "NATIVE:"} {
		if err == nil || !strings.Contains(err.Error(), prefix+name) {
			t.Errorf("%s%s is not in %v", prefix, name, err)
		}
	}
}

// What keeps the data folder from being used is found without making anything.
func TestTheDataFolderIsJudgedFromOutside(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		data, env string
		wrong     bool
	}{
		"a folder":                             {data: dir},
		"one that will be made":                {data: filepath.Join(dir, "a", "b")},
		"nothing is kept":                      {data: ":memory:"},
		"a file":                               {data: file, wrong: true},
		"one inside a file":                    {data: filepath.Join(file, "a", "b"), wrong: true},
		"a file, but all is kept on a cluster": {data: file, env: "SKYLIFT_NATS=nats://n1:4222"},
	} {
		_, err := readSettings([]string{"-data", tt.data}, []string{tt.env}, io.Discard)
		if wrong := err != nil && strings.Contains(err.Error(), prefix+"DATA: "); wrong != tt.wrong || !wrong && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v; want the file only", left, err)
	}
}

func TestHelpPrintsEverySetting(t *testing.T) {
	var out strings.Builder
	if _, err := readSettings([]string{"-nonsense"}, nil, &out); err == nil || out.Len() > 0 {
		t.Errorf("an error, %v, prints %q beside it", err, out.String())
	}
	if _, err := readSettings([]string{"-nonsense", "-h"}, nil, &out); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("got error %v, want flag.ErrHelp", err)
	}
	if !strings.Contains(out.String(), "skylift -check ") {
		t.Error("the check of the set-up is not told of")
	}
	for _, f := range fields() {
		if !strings.Contains(out.String(), prefix+variable(f)+" ") {
			t.Errorf("%s%s is not in the table", prefix, variable(f))
		}
	}
}
