package onedrive_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"skylift/onedrive"
)

const (
	alive     = onedrive.JobAlive
	completed = onedrive.JobCompleted
	failed    = onedrive.JobFailed
	cancelled = onedrive.JobCancelled
	forgotten = onedrive.JobForgotten
	nothing   = onedrive.JobState(-1) // the answer is an error
)

func TestMonitorStatusUnderstandsEveryShape(t *testing.T) {
	rows := []struct {
		file    string
		state   onedrive.JobState
		itemID  string
		percent float64 // -1: none
		code    string
		wait    time.Duration
		err     error
	}{
		{file: "202-not-started", state: alive, percent: 0},
		{file: "202-in-progress", state: alive, percent: 41.5},
		{file: "200-in-progress", state: alive, percent: 27.8},
		{file: "202-waiting", state: alive, percent: 60, wait: 2500 * time.Millisecond},
		{file: "202-updating-percent-in-a-string", state: alive, percent: 12.5},
		{file: "202-delete-pending", state: alive, percent: 99},
		{file: "202-cancel-pending", state: alive, percent: 50},
		{file: "202-word-that-nobody-knows", state: alive, percent: -1},
		{file: "202-empty", state: alive, percent: -1},
		{file: "202-operation-running", state: alive, percent: -1},

		{file: "303-location", state: completed, itemID: "5B1E9F0A22C4D7E3!204", percent: -1},
		{file: "303-body-without-location", state: completed, itemID: "5B1E9F0A22C4D7E3!204", percent: 100},
		{file: "303-location-without-an-id", state: completed, percent: -1},
		{file: "303-location-in-function-form", state: completed, itemID: "5B1E9F0A22C4D7E3!204", percent: -1},
		{file: "302-location-pre-authenticated", state: completed, itemID: "01ABCDEF", percent: -1},
		{file: "303-location-that-is-no-address", state: completed, percent: -1},
		{file: "303-nothing-else", state: completed, percent: -1},
		{file: "202-completed", state: completed, itemID: "01MOWKYVJML57KN2ANMBA3JZJS2MBGC7KM", percent: 100},
		{file: "200-completed", state: completed, itemID: "5B1E9F0A22C4D7E3!204", percent: 100},
		{file: "200-completed-without-an-id", state: completed, percent: 100},
		{file: "200-item", state: completed, itemID: "5B1E9F0A22C4D7E3!204", percent: -1},

		{file: "500-failed", state: failed, percent: 0},
		{file: "202-failed-operation", state: failed, percent: -1, code: "generalException"},
		{file: "200-failed-access-denied", state: failed, percent: 0, code: "accessDenied"},
		{file: "200-delete-failed", state: failed, percent: 98},
		{file: "200-cancelled", state: cancelled, percent: 10},
		{file: "200-canceled", state: cancelled, percent: -1},
		{file: "200-error-envelope", state: failed, percent: -1, code: "virusSuspicious"},
		{file: "409-name-exists", state: failed, percent: -1, code: "nameAlreadyExists"},
		{file: "500-name-exists", state: failed, percent: -1, code: "nameAlreadyExists"},
		{file: "507-full", state: failed, percent: -1, code: "quotaLimitReached"},
		{file: "303-but-failed", state: failed, percent: 100},

		{file: "404-operation-not-found", state: forgotten, percent: -1, code: "operationNotFound"},
		{file: "500-operation-not-found", state: forgotten, percent: -1, code: "operationNotFound"},
		{file: "404-empty", state: forgotten, percent: -1},
		{file: "410-empty", state: forgotten, percent: -1},

		{file: "401-unauthenticated", state: nothing, err: onedrive.ErrUnavailable},
		{file: "500-empty", state: nothing, err: onedrive.ErrUnavailable},
		{file: "500-general-exception", state: nothing, err: onedrive.ErrUnavailable},
		{file: "502-html", state: nothing, err: onedrive.ErrUnavailable},
		{file: "200-html", state: nothing, err: onedrive.ErrUnavailable},
		{file: "200-empty", state: nothing, err: onedrive.ErrUnavailable},
		{file: "200-truncated", state: nothing, err: onedrive.ErrUnavailable},
		{file: "200-not-an-object", state: nothing, err: onedrive.ErrUnavailable},
		{file: "403-html", state: nothing, err: onedrive.ErrUnavailable},
		{file: "503-html", state: nothing, err: onedrive.ErrUnavailable},
		{file: "503-retry-after", state: nothing, err: onedrive.ErrThrottled, wait: 2 * time.Minute},
		{file: "429-retry-after-fraction", state: nothing, err: onedrive.ErrThrottled, wait: 500 * time.Millisecond},
	}
	played := map[string]bool{}
	for _, row := range rows {
		played[row.file] = true
		t.Run(row.file, func(t *testing.T) {
			p := play(t, "monitor/"+row.file)
			job, err := p.client.MonitorStatus(t.Context(), p.secret())
			if !errors.Is(err, row.err) || (err == nil) != (row.err == nil) {
				t.Fatalf("error = %v, want %v", err, row.err)
			}
			if got := p.requests(); len(got) != 1 || got[0].header.Get("Authorization") != "" || got[0].header.Get("Cookie") != "" {
				t.Errorf("asked %+v, want one request without a bearer", got)
			}
			if row.err != nil {
				var e *onedrive.Error
				if !errors.As(err, &e) || e.RetryAfter != row.wait {
					t.Errorf("error = %#v, want RetryAfter %v", err, row.wait)
				}
				return
			}
			percent := -1.0
			if job.Percent != nil {
				percent = *job.Percent
			}
			if job.State != row.state || job.ItemID != row.itemID || percent != row.percent || job.Code != row.code || job.RetryAfter != row.wait {
				t.Errorf("job = %+v (%v %%), want %+v", job, percent, row)
			}
			if (job.Item != nil) != (row.file == "200-item") {
				t.Errorf("item = %+v", job.Item)
			}
		})
	}
	everyFileHasARow(t, "monitor", func(file string) bool { return played[file] })
}

func TestMonitorStatusGivesTheFinishedItemWithItsSize(t *testing.T) {
	p := play(t, "monitor/200-item")
	job, err := p.client.MonitorStatus(t.Context(), p.secret())
	if err != nil || job.Item == nil || job.Item.Size != 183422 || job.Item.Name != "tabby.jpg" {
		t.Errorf("job = %+v, %v", job, err)
	}
}

func TestMonitorStatusReadsNoMoreThanItMust(t *testing.T) {
	p, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(`{"status":"inProgress","statusDescription":"` + strings.Repeat("x", 1<<20) + `"}`))
	})
	if _, err := p.client.MonitorStatus(t.Context(), p.secret()); !errors.Is(err, onedrive.ErrUnavailable) {
		t.Errorf("a body of 1 MiB: %v, want ErrUnavailable", err)
	}
}

func TestMonitorDescriptionIsOneShortLine(t *testing.T) {
	p, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(`{"status":"failed","statusDescription":"a\nb\u0000\u202ec ` + strings.Repeat("é", 500) + `"}`))
	})
	job, err := p.client.MonitorStatus(t.Context(), p.secret())
	if err != nil || len([]rune(job.Description)) > 200 || !strings.HasPrefix(job.Description, "a b c é") {
		t.Errorf("description = %q, %v", job.Description, err)
	}
}
