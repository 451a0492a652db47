package views

import (
	"fmt"
	"slices"
)

// hasBad reports whether a line was refused.
func hasBad(lines []Line) bool {
	for _, l := range lines {
		if l.Tone == Bad {
			return true
		}
	}
	return false
}

// conflicts are the choices of the form. A panel does not replace files: whoever frames it could
// have laid something over its buttons.
func (f SaveForm) conflicts() []Link {
	all := Conflicts()
	if !f.Small {
		return all
	}
	return slices.DeleteFunc(all, func(l Link) bool { return l.URL == "replace" })
}

// nameHint says whose name the field is.
func (f SaveForm) nameHint() string {
	if f.Again != nil {
		return "(optional)"
	}
	return "(optional, for one link)"
}

// linesSummary counts what became of the lines.
func linesSummary(f SaveForm) string {
	bad, there := 0, 0
	for _, l := range f.Lines {
		switch l.Tone {
		case Bad:
			bad++
		case Resting:
			there++
		}
	}
	s := "No link is on the way"
	if f.Started > 0 {
		s = count(f.Started, "link is", "links are") + " on the way"
	}
	if there > 0 {
		s += fmt.Sprintf(", %s saved here before", count(there, "was", "were"))
	}
	if bad > 0 {
		s += fmt.Sprintf(", %s mending", count(bad, "needs", "need"))
	}
	return s + "."
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
