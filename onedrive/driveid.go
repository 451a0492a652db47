package onedrive

import (
	"context"
	"net/http"
	"regexp"
	"strings"
)

// lostZero is a personal drive's id as some answers give it: without the zero that it begins with. Calls
// want all sixteen digits (abraunegg/onedrive pull request 3174).
var lostZero = regexp.MustCompile(`^[0-9A-Fa-f]{15}$`)

// sendToDrive is send, and once more with a zero before the id of a drive that is not found and may have
// lost one. Which of the two is right is remembered.
func (c *Client) sendToDrive(ctx context.Context, r request) (answer, error) {
	if r.url != nil || len(r.path) < 2 || r.path[0] != "drives" || !lostZero.MatchString(r.path[1]) {
		return c.send(ctx, r)
	}
	id := strings.ToLower(r.path[1])
	if right, known := c.g.driveIDs.Load(id); known {
		return c.send(ctx, r.at(right.(string)))
	}
	a, err := c.send(ctx, r)
	if err != nil || !unknown(a) {
		c.g.remember(id, id, a)
		return a, err
	}
	if r.stream != nil && !r.stream.rewind() {
		return a, nil
	}
	whole, err := c.send(ctx, r.at("0"+id))
	if err == nil && unknown(whole) {
		return a, nil
	}
	c.g.remember(id, "0"+id, whole)
	return whole, err
}

// unknown reports what OneDrive answers to the id of a drive that there is not.
func unknown(a answer) bool {
	return a.status == http.StatusNotFound || a.status == http.StatusBadRequest
}

// remember keeps under which id a drive answered.
func (g *Graph) remember(id, right string, a answer) {
	if a.status >= 200 && a.status < 300 {
		g.driveIDs.Store(id, right)
	}
}

// at is the same request to another drive.
func (r request) at(driveID string) request {
	r.path = append([]string{"drives", driveID}, r.path[2:]...)
	return r
}
