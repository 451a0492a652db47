package handlers

import (
	"testing"

	"skylift/onedrive/transfer"
)

func TestTheFirstRuleThatFitsPicksTheFolder(t *testing.T) {
	into := func(site, kind, folder string) rule {
		return rule{Site: site, Kind: fileKind(kind), Folder: transfer.Folder{ID: folder}}
	}
	rules := []rule{
		into("dribbble.com", "picture", "inspiration"),
		into("dribbble.com", "", "shots"),
		into("cdn.example", "", "cdn"),
		into("", "document", "papers"),
		into("xn--mnchen-3ya.example", "", "munich"),
		into("", "other", "other"),
	}
	for _, c := range []struct {
		name                 string
		page, source, nameOf string
		want                 string
		route                transfer.Route
	}{
		{name: "a picture of a page of the site, wherever it lies", page: "https://dribbble.com/shots/1", source: "https://cdn.example/a.png", want: "inspiration"},
		{name: "a picture on the site itself", source: "https://dribbble.com/a.JPEG?w=100", want: "inspiration"},
		{name: "a subdomain is the site", source: "https://cdn.dribbble.com/a.webp", want: "inspiration"},
		{name: "a port and a dot at the end are no part of it", source: "https://dribbble.com.:8443/a.webp", want: "inspiration"},
		{name: "another kind from the site", page: "https://dribbble.com/", source: "https://images.example/a.mp4", want: "shots"},
		{name: "no ending: only rules without a kind", page: "https://dribbble.com/", source: "https://images.example/a", want: "shots"},
		{name: "the ending of a script tells nothing", source: "https://images.example/image.php?name=a.pdf", want: ""},
		{name: "a name that ends like the site is another site", source: "https://notdribbble.com/a.png", want: ""},
		{name: "a site above the one of the rule is another site", page: "https://com/", source: "https://example/a.png", want: ""},
		{name: "the source's site where the page's has no rule", page: "https://news.example/", source: "https://cdn.example/a.png", want: "cdn"},
		{name: "the first in the list counts, also for the source", page: "https://news.example/", source: "https://cdn.example/a.pdf", want: "cdn"},
		{name: "a kind from anywhere", source: "https://arxiv.example/1.PDF", want: "papers"},
		{name: "a kind by an escaped ending", source: "https://arxiv.example/a%2Epdf", want: "papers"},
		{name: "an archive", source: "https://arxiv.example/a.tar.gz", want: "other"},
		{name: "an international site", source: "https://www.xn--mnchen-3ya.example/a", want: "munich"},
		{name: "a file that was handed over, by its name", nameOf: "thesis.pdf", route: transfer.Upload, want: "papers"},
		{name: "the address counts before the name", source: "https://arxiv.example/1.zip", nameOf: "a.pdf", want: "other"},
		{name: "a picture as text", source: "data:image/png;base64,iVBORw0KGgo=", want: ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := transfer.Request{SourceURL: c.source, PageURL: c.page, Name: c.nameOf, Route: c.route}
			if err := r.Validate(); err != nil {
				t.Fatal(err)
			}
			got := ""
			if by := ruleFor(rules, r); by != nil {
				got = by.Folder.ID
			}
			if got != c.want {
				t.Errorf("page %q, source %q, name %q: %q, want %q", c.page, c.source, c.nameOf, got, c.want)
			}
		})
	}
}

func TestASiteIsReadAsPeopleNameIt(t *testing.T) {
	for given, want := range map[string]string{
		"dribbble.com": "dribbble.com", "Dribbble.COM": "dribbble.com", "dribbble.com.": "dribbble.com", "*.dribbble.com": "dribbble.com",
		"https://www.dribbble.com/shots?x=1#y": "dribbble.com", "http://dribbble.com:8080": "dribbble.com", "www.com": "www.com",
		"münchen.example": "xn--mnchen-3ya.example", "192.0.2.1": "192.0.2.1", "[2001:db8::1]": "2001:db8::1", "intranet": "intranet",
		"not a site": "", "a..b": "", "user@dribbble.com": "", "javascript:alert(1)": "", "/shots": "", "ftp://dribbble.com": "", ".com": "", "*": "",
	} {
		if got := readSite(given); got != want {
			t.Errorf("%q is %q, want %q", given, got, want)
		}
	}
}
