package onedrive

import (
	"bytes"
	"io"
)

// LogFilter is a writer for the standard logger (log.SetOutput) that drops one line of net/http's:
// about bytes that came on an idle connection. That line quotes them, and they can be a late or
// doubled answer with a monitor or an upload URL in it.
func LogFilter(w io.Writer) io.Writer { return logFilter{w} }

type logFilter struct{ w io.Writer }

func (f logFilter) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("Unsolicited response received on idle HTTP channel")) {
		return len(line), nil
	}
	return f.w.Write(line)
}
