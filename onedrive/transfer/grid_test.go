package transfer

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of testdata anew")

// grid is a table of ends that is kept as a file for people to read, and held against it.
type grid struct {
	file, corner string
	mu           sync.Mutex
	rows, cols   []string
	cells        map[[2]string]string
}

func newGrid(file, corner string) *grid {
	return &grid{file: file, corner: corner, cells: map[[2]string]string{}}
}

func (g *grid) set(row, col, end string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Contains(g.rows, row) {
		g.rows = append(g.rows, row)
	}
	if !slices.Contains(g.cols, col) {
		g.cols = append(g.cols, col)
	}
	g.cells[[2]string{row, col}] = end
}

// text is the table in Markdown, rows and columns sorted.
func (g *grid) text() string {
	slices.Sort(g.rows)
	slices.Sort(g.cols)
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %s |\n|%s\n", g.corner, strings.Join(g.cols, " | "), strings.Repeat(" --- |", len(g.cols)+1))
	for _, row := range g.rows {
		fmt.Fprintf(&b, "| %s |", row)
		for _, col := range g.cols {
			fmt.Fprintf(&b, " %s |", g.cells[[2]string{row, col}])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// compare holds what was run against the file: each cell that has an end must have that one.
func (g *grid) compare(t *testing.T) {
	t.Helper()
	path := filepath.Join("testdata", g.file)
	if *update {
		if err := os.WriteFile(path, []byte(g.text()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := readGrid(string(kept))
	for at, end := range g.cells {
		if want[at] != end {
			t.Errorf("%s with %s: %q; %s has %q", at[0], at[1], end, path, want[at])
		}
	}
}

func readGrid(text string) map[[2]string]string {
	cells := map[[2]string]string{}
	var cols []string
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		fields := strings.Split(strings.Trim(line, "| "), " | ")
		switch {
		case i == 0:
			cols = fields
		case i > 1:
			for j := 1; j < len(fields) && j < len(cols); j++ {
				cells[[2]string{fields[0], cols[j]}] = fields[j]
			}
		}
	}
	return cells
}
