package fakegraph

import (
	"strings"
	"unicode/utf8"
)

// place is the part of a Graph address that names a drive, an item in it and what to do
// (microsoft.md §3.3). Ids are taken as they come.
type place struct {
	drive   string // drive id; "" is the caller's own
	user    string // users/{id}/drive; "" is the caller
	item    string // item id; "" is the root
	special string // special/{name}
	path    []string
	byPath  bool
	byChild bool   // the last step was children('name')
	action  string // "children", "content" …; "" is the thing itself
	rest    []string
	onDrive bool // the drive itself, not an item
}

// parsePlace takes a decoded path without /v1.0/ apart. Neither ":" nor "/" can stand in a name,
// so the decoded text is not ambiguous: "%2F" separates as "/" does, "%23", "%25" and "%3F" are
// part of a name.
func parsePlace(path string) (place, *wireError) {
	var p place
	if !utf8.ValidString(path) || strings.ContainsFunc(path, isControl) {
		return p, invalid("The request URI is not valid.", "invalidPath")
	}
	if head, tail, ok := cutPathStart(path); ok {
		if e := p.owner(segments(head)); e != nil {
			return p, e
		}
		return p, p.relative(tail)
	}
	return p, p.owner(segments(path))
}

// cutPathStart finds where path addressing starts: "root:/", "items/{id}:/" or "special/{name}:/".
func cutPathStart(path string) (head, tail string, ok bool) {
	if strings.Contains(path, "(") && strings.Contains(path, "='") && strings.Index(path, "(") < strings.Index(path, ":/") {
		return "", "", false // a colon inside of search(q='…')
	}
	head, tail, ok = strings.Cut(path, ":/")
	return head, tail, ok && !strings.HasSuffix(head, "/")
}

func segments(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// relative reads what follows "root:/": names up to a closing colon, then the action.
func (p *place) relative(tail string) *wireError {
	names, action, _ := strings.Cut(tail, ":")
	if names == "" {
		// An empty relative path is a 400 (OAD#1177).
		return invalid("The path is empty.", "invalidPath")
	}
	p.byPath, p.onDrive = true, false
	for name := range strings.SplitSeq(strings.TrimSuffix(names, "/"), "/") {
		if name == "" || name == "." || name == ".." {
			return invalid("The path has an empty or relative segment.", "invalidPath")
		}
		p.path = append(p.path, name)
	}
	if action != "" && !strings.HasPrefix(action, "/") {
		return invalid("The path has a colon at a wrong place.", "invalidPath")
	}
	p.act(segments(action))
	return nil
}

// owner reads me/drive, drive, drives/{id}, users/{id}/drive and goes on with the item.
func (p *place) owner(s []string) *wireError {
	if len(s) == 0 {
		return unknownSegment("")
	}
	name, key := keyed(s[0])
	s = s[1:]
	next := func() string { // the key of an entity: in brackets or as a segment of its own
		if key == "" && len(s) > 0 {
			key, s = s[0], s[1:]
		}
		return key
	}
	switch name {
	case "me":
		return p.owned(s)
	case "users":
		if p.user = next(); p.user == "" {
			return unknownSegment("users")
		}
		return p.owned(s)
	case "drive":
		return p.within(s)
	case "drives":
		if p.drive = next(); p.drive == "" {
			return unknownSegment("drives")
		}
		return p.within(s)
	}
	return unknownSegment(name)
}

// owned reads what belongs to a user: drive, drives or drives/{id}.
func (p *place) owned(s []string) *wireError {
	if len(s) == 0 {
		return unknownSegment("user")
	}
	name, key := keyed(s[0])
	switch {
	case name == "drive":
		return p.within(s[1:])
	case name == "drives" && key != "":
		p.drive = key
		return p.within(s[1:])
	case name == "drives" && len(s) > 1:
		p.drive = s[1]
		return p.within(s[2:])
	case name == "drives":
		p.action, p.onDrive = "drives", true
		return nil
	}
	return unknownSegment(name)
}

// within reads the item in a drive.
func (p *place) within(s []string) *wireError {
	if len(s) == 0 {
		p.onDrive = true
		return nil
	}
	name, key := keyed(s[0])
	switch name {
	case "root":
		p.act(s[1:])
	case "items", "special", "bundles":
		s = s[1:]
		if key == "" {
			if len(s) == 0 {
				return unknownSegment(name)
			}
			key, s = s[0], s[1:]
		}
		if name == "special" {
			p.special = strings.ToLower(key)
		} else if key != "root" {
			p.item = key
		}
		p.act(s)
	default:
		p.onDrive = true
		p.act(s)
	}
	return nil
}

// act reads the action; "microsoft.graph.copy" is "copy".
func (p *place) act(s []string) {
	if len(s) == 0 {
		return
	}
	if name, key := keyed(s[0]); name == "children" && (key != "" || len(s) > 1) {
		p.child(key, s[1:])
		return
	}
	p.action = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(s[0], "microsoft.graph."), "oneDrive."), "()")
	p.rest = s[1:]
	// search(q='a/b') was cut at the slash: put it together again.
	if strings.Contains(p.action, "(") {
		p.action, p.rest = strings.Join(append([]string{p.action}, p.rest...), "/"), nil
	}
}

// child reads children('name') and children/name: a step of the path like root:/name.
func (p *place) child(name string, s []string) {
	if name == "" {
		name, s = s[0], s[1:]
	}
	p.path, p.byPath, p.byChild, p.onDrive = append(p.path, name), true, true, false
	p.act(s)
}

// keyed splits "items('x')" into "items" and "x"; a plain segment has no key.
func keyed(segment string) (name, key string) {
	name, rest, ok := strings.Cut(segment, "(")
	if !ok || !strings.HasSuffix(rest, ")") {
		return segment, ""
	}
	return name, unquoted(strings.TrimSuffix(rest, ")"))
}

// unquoted takes OData's quotes off: 'it”s' is it's.
func unquoted(s string) string {
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		s = s[1 : len(s)-1]
	}
	return strings.ReplaceAll(s, "''", "'")
}

func unknownSegment(name string) *wireError {
	return refuse(400, "BadRequest", "Resource not found for the segment '"+name+"'.")
}
