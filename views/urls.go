package views

import "net/url"

// HistoryURL is the address of the history, narrowed and turned to a page.
func HistoryURL(state, query, cursor string) string {
	return withQuery("/transfers", "state", state, "q", query, "cursor", cursor)
}

// HistoryCSVURL is the address of the history as a table, narrowed.
func HistoryCSVURL(state, query string) string {
	return withQuery("/transfers.csv", "state", state, "q", query)
}

// FoldersURL is the address of the folder picker at one folder.
func FoldersURL(driveID, id, cursor, query, back string) string {
	return withQuery("/folders", "drive", driveID, "id", id, "cursor", cursor, "q", query, "return", back)
}

// ChangeURL is the address of the form that tries a transfer again with changes.
func ChangeURL(id string) string { return withQuery("/save", "again", id) }

// RuleURL is the settings page as the one that the picker is opened from to choose the folder of a rule.
func RuleURL(site, kind string) string { return withQuery("/settings", "site", site, "kind", kind) }

// withQuery adds the pairs whose value is not empty.
func withQuery(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}
