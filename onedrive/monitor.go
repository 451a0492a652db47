package onedrive

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxStatus is how many bytes of a monitor's answer are read.
const maxStatus = 64 << 10

// JobState is what a monitor's answer comes down to.
type JobState int

// The states of a job.
const (
	JobAlive     JobState = iota // queued or at work: ask again
	JobCompleted                 // done, says OneDrive: look the item up
	JobFailed
	JobCancelled // ended, nothing saved
	JobForgotten // OneDrive no longer knows the job: look for the file
)

// AsyncJobStatus is one answer of a monitor.
// https://learn.microsoft.com/graph/api/resources/asyncjobstatus
type AsyncJobStatus struct {
	State       JobState
	Status      string        // Microsoft's own word, such as inProgress; may be empty
	Percent     *float64      // 0 to 100, nil when nobody said
	ItemID      string        // of the finished item, empty when the answer does not name it: look it up by name
	Item        *DriveItem    // when the answer is the finished item itself
	Code        string        // of a failure, Graph's when it gave one
	Description string        // Microsoft's free text, short and on one line; for a detail, never to decide by, never for a log
	RetryAfter  time.Duration // before which not to ask again; 0: not said
}

// MonitorStatus asks a monitor once. Errors say that this answer tells nothing about the job:
// ErrThrottled (wait), ErrUnavailable (ask again, a few times in a row, then look for the file),
// ErrForeignHost (not Microsoft's address: nothing was sent).
// https://learn.microsoft.com/graph/long-running-actions-overview
func (c *Client) MonitorStatus(ctx context.Context, monitor SecretURL) (AsyncJobStatus, error) {
	const op = "ask monitor"
	a, err := c.g.callBare(ctx, bareRequest{op: op, method: http.MethodGet, url: monitor}, maxStatus)
	if err != nil {
		return AsyncJobStatus{}, err
	}
	return judge(op, a)
}

// jobBody is the body of a monitor's answer, one field at a time: one of an odd type spoils no other.
type jobBody struct {
	Status             json.RawMessage `json:"status"`
	PercentageComplete json.RawMessage `json:"percentageComplete"`
	ResourceID         json.RawMessage `json:"resourceId"`
	StatusDescription  json.RawMessage `json:"statusDescription"`
	Message            json.RawMessage `json:"message"`
	ErrorCode          json.RawMessage `json:"errorCode"`
	Error              json.RawMessage `json:"error"`
	ID                 json.RawMessage `json:"id"`
	Name               json.RawMessage `json:"name"`
}

// judge is the decision procedure: the HTTP status decides only together with the body, because
// jobs end as 303 with or without Location, 202 or 200 with "completed", the item itself, 500 or 404.
func judge(op string, a answer) (AsyncJobStatus, error) {
	var body jobBody
	isJSON := json.Unmarshal(a.body, &body) == nil && bytes.HasPrefix(bytes.TrimSpace(a.body), []byte("{"))
	job := AsyncJobStatus{
		Status:      word(text(body.Status)),
		Percent:     percent(body.PercentageComplete),
		ItemID:      itemID(text(body.ResourceID)),
		Code:        failureCode(body, a.body),
		Description: oneLine(text(body.StatusDescription), text(body.Message)),
		RetryAfter:  RetryAfter(a.header, time.Now()),
	}
	class := classify(job.Status)
	switch redirect := a.status >= 300 && a.status < 400; {
	case strings.EqualFold(job.Code, "operationNotFound"):
		job.State = JobForgotten
	case class == JobFailed, class == JobCancelled:
		job.State = class
	case a.status == http.StatusNotFound, a.status == http.StatusGone:
		job.State = JobForgotten
	case redirect:
		job.State = JobCompleted
		if job.ItemID == "" {
			job.ItemID = itemIDOfLocation(a.header.Get("Location"))
		}
	case a.status >= 400:
		return judgeRefusal(op, a, job)
	case job.Status != "":
		job.State = class
	case text(body.ID) != "" && text(body.Name) != "":
		return finishedItem(op, a, job)
	case job.Code != "":
		job.State = JobFailed
	case a.status == http.StatusAccepted:
		job.State = JobAlive // empty or unreadable, but accepted: still at it
	default:
		return job, unclear(op, a, isJSON)
	}
	return job, nil
}

// judgeRefusal is for 4xx and 5xx without a status that ends the job. A refusal whose code says
// why the file cannot be saved is the job's end; anything else, a 401 and a plain 5xx among it,
// says something about the monitor and not about the job.
func judgeRefusal(op string, a answer, job AsyncJobStatus) (AsyncJobStatus, error) {
	e := newError(op, a)
	passing := e.kind == ErrUnavailable || e.kind == ErrUnauthenticated
	switch {
	case e.kind == ErrThrottled:
		return job, e
	case e.kind == ErrQuota, !passing && job.Code != "" && (a.status < 500 || kindOfCode[strings.ToLower(job.Code)] != nil):
		job.State = JobFailed
		job.Code = cmp.Or(job.Code, "quotaLimitReached")
		return job, nil
	}
	e.kind = ErrUnavailable
	return job, e
}

func finishedItem(op string, a answer, job AsyncJobStatus) (AsyncJobStatus, error) {
	var item DriveItem
	if json.Unmarshal(a.body, &item) != nil {
		return job, unclear(op, a, true)
	}
	job.State, job.Item, job.ItemID = JobCompleted, &item, itemID(item.ID)
	return job, nil
}

func unclear(op string, a answer, isJSON bool) error {
	e := newError(op, a)
	e.kind, e.cause = ErrUnavailable, errors.New("neither a status nor an item")
	if !isJSON {
		e.cause = errors.New("not JSON")
	}
	return e
}

// classify puts Microsoft's words, old and new, into states. A word that nobody knows is alive:
// the caller's deadline ends it.
func classify(status string) JobState {
	switch strings.ToLower(status) {
	case "completed":
		return JobCompleted
	case "failed", "deletefailed":
		return JobFailed
	case "cancelled", "canceled":
		return JobCancelled
	}
	return JobAlive // notStarted, inProgress, waiting, updating, cancelPending, deletePending …
}

// failureCode is the body's errorCode, else the deepest known code of its error envelope.
func failureCode(body jobBody, raw []byte) string {
	code := word(text(body.ErrorCode))
	if code == "" {
		codes, _ := parseEnvelope(raw)
		code, _ = deepest(codes)
	}
	if strings.HasPrefix(code, "AccessDenied_") {
		return "accessDenied"
	}
	return code
}

// text is a JSON string, or empty for anything else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// percent takes a number or, as the 2015 service sent it, a number in a string.
func percent(raw json.RawMessage) *float64 {
	p, err := strconv.ParseFloat(strings.TrimSpace(strings.Trim(string(raw), `"`)), 64)
	if err != nil || math.IsNaN(p) || math.IsInf(p, 0) {
		return nil
	}
	p = min(max(p, 0), 100)
	return &p
}

func itemID(id string) string {
	if !validID(id) {
		return ""
	}
	return id
}

// itemIDOfLocation is the segment after the last "items" of a 303's Location, or the id in an
// items('…'); empty when there is none. The Location itself is never fetched: it may be pre-authenticated,
// foreign or wrong (OneDrive/onedrive-api-docs issue 545: /drives('me')/items(”)).
func itemIDOfLocation(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return ""
	}
	segments := strings.Split(u.Path, "/")
	for i := len(segments) - 1; i >= 0; i-- {
		if segments[i] == "items" && i+1 < len(segments) {
			return itemID(segments[i+1])
		}
		if inside, found := strings.CutPrefix(segments[i], "items('"); found {
			return itemID(strings.TrimSuffix(inside, "')"))
		}
	}
	return ""
}

// oneLine is the first text that is not empty, on one line and at most 200 letters long.
func oneLine(texts ...string) string {
	for _, t := range texts {
		t = strings.Join(strings.FieldsFunc(t, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
		if letters := []rune(t); len(letters) > 200 {
			t = string(letters[:199]) + "…"
		}
		if t != "" {
			return t
		}
	}
	return ""
}
