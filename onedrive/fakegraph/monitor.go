package fakegraph

import (
	"math"
	"net/http"
	"strconv"
	"strings"
)

// asyncStatus is Graph's asyncJobStatus (microsoft.md §2.1).
type asyncStatus struct {
	Context     string         `json:"@odata.context,omitempty"`
	ID          string         `json:"id,omitempty"`
	Operation   string         `json:"operation,omitempty"`
	Percent     any            `json:"percentageComplete,omitempty"`
	Status      string         `json:"status,omitempty"`
	Description string         `json:"statusDescription,omitempty"`
	ResourceID  string         `json:"resourceId,omitempty"`
	ErrorCode   string         `json:"errorCode,omitempty"`
	Error       map[string]any `json:"error,omitempty"`
}

// snapshot is what a monitor tells of a job at one moment.
type snapshot struct {
	state   jobState
	percent float64
	item    string
	reason  string
	code    string
}

// look takes a snapshot. Whoever asks first hears notStarted, whatever has happened since: the
// status lags behind (microsoft.md §1.6).
func (j *job) look() snapshot {
	j.mu.Lock()
	defer j.mu.Unlock()
	first := !j.asked
	j.asked = true
	v := snapshot{state: j.state, item: j.item, reason: j.reason, code: j.code}
	if first && v.state != jobLost {
		return snapshot{state: jobQueued}
	}
	if v.state == jobRunning && j.size > 0 {
		// 100 is said only at the end.
		v.percent = math.Min(99, math.Round(float64(j.moved)*1000/float64(j.size))/10)
	}
	return v
}

// monitor serves a monitor address: no bearer, and 404 once the job is forgotten (microsoft.md §1.6).
func (s *Server) monitor(w http.ResponseWriter, r *http.Request) {
	s.count("monitorPolls")
	w.Header().Set("Cache-Control", "no-store")
	if r.Header.Get("Authorization") != "" {
		s.count("bearerOnMonitor")
		refuse(401, "unauthenticated", "Authentication failed.").write(s, w, r)
		return
	}
	j, ok := s.cloud.jobs.get(r.PathValue("token"))
	if !ok {
		noOperation(404).write(s, w, r)
		return
	}
	s.withFaults(w, r, j.drive.owner().Login, []Phase{PhaseMonitor}, func(w http.ResponseWriter) {
		s.tell(w, r, j)
	})
}

func noOperation(status int) *wireError {
	return refuse(status, "operationNotFound", "No such operation.")
}

func (s *Server) tell(w http.ResponseWriter, r *http.Request, j *job) {
	v := j.look()
	conduct := j.drive.conductNow()
	switch v.state {
	case jobQueued, jobRunning:
		tellAlive(w, j, v, conduct.Alive)
		return
	case jobLost:
		noOperation(404).write(s, w, r)
		return
	}
	if s.now().Sub(j.ended()) >= monitorLife {
		noOperation(404).write(s, w, r)
		return
	}
	if v.state == jobFailed {
		s.tellFailed(w, r, j, v, conduct.Failure)
		return
	}
	s.tellCompleted(w, r, j, v, conduct.Completion)
}

// tellAlive answers while the job runs: personal 202, business 200 all along (microsoft.md §2.4).
func tellAlive(w http.ResponseWriter, j *job, v snapshot, shape string) {
	body := asyncStatus{Operation: j.operation, Percent: v.percent, Status: "notStarted"}
	if v.state == jobRunning {
		body.Status, body.Description = "inProgress", "Fetching"
	}
	status := http.StatusAccepted
	if shape == "" && j.drive.kind == business {
		shape = "200"
	}
	switch shape {
	case "200":
		status = http.StatusOK
	case "text": // the 2015 table typed it as a string
		body.Percent = strconv.FormatFloat(v.percent, 'f', 1, 64)
	case "waiting", "updating":
		if v.state == jobRunning {
			body.Status = shape
		}
	case "unknown":
		body.Status = "preparingToPrepare"
	}
	w.Header().Set("Content-Type", "application/json")
	writeJSON(w, status, body)
}

// tellCompleted answers in one of the shapes of microsoft.md §2.4.
func (s *Server) tellCompleted(w http.ResponseWriter, r *http.Request, j *job, v snapshot, shape string) {
	body := asyncStatus{Percent: 100.0, Status: "completed", ResourceID: v.item}
	if shape == "" && j.drive.kind == business {
		shape = "200"
	}
	status := http.StatusOK
	switch shape {
	case "303body":
		status = http.StatusSeeOther
	case "202":
		status = http.StatusAccepted
	case "200upper":
		body.Status = "Completed"
	case "200text":
		body.Percent = "100"
	case "200":
	case "200item":
		s.tellItem(w, r, j, v)
		return
	case "200operation":
		body = asyncStatus{ID: newGUID(), Status: "completed", ResourceID: v.item,
			Context: s.base(r) + "/_api/v2.1/$metadata#drives('default')/operations/$entity"}
	case "303empty": // OAD#545
		w.Header().Set("Location", s.base(r)+"/v1.0/drives('me')/items('')")
		w.WriteHeader(http.StatusSeeOther)
		return
	default:
		status := http.StatusSeeOther
		if shape == "302" {
			status = http.StatusFound
		}
		w.Header().Set("Location", s.finishedURL(r, j, v.item))
		w.WriteHeader(status)
		return
	}
	writeJSON(w, status, body)
}

// finishedURL is where a 303 leads: an address of the item that is its own key, so that clients
// that follow redirects without a bearer, as rclone does, see the item (microsoft.md §1.6, §2.4).
func (s *Server) finishedURL(r *http.Request, j *job, item string) string {
	key := s.seal("finished", j.drive.id, item, "", s.now().Add(downloadLife))
	return s.apart(s.base(r)) + "/_api/v2.1/drives/" + j.drive.id + "/items/" + item + "?tempauth=" + key
}

// finished serves that address. A Graph token there has the wrong audience (python-o365#872).
func (s *Server) finished(w http.ResponseWriter, r *http.Request) {
	driveID, itemID, _, ok := s.unseal("finished", r.URL.Query().Get("tempauth"))
	d := s.driveByID(driveID)
	switch {
	case r.Header.Get("Authorization") != "":
		s.count("bearerOnFinished")
		refuse(401, "unauthenticated", "Invalid audience Uri.").write(s, w, r)
	case !ok || d == nil || itemID != r.PathValue("item"):
		refuse(401, "unauthenticated", "Authentication failed.").write(s, w, r)
	default:
		s.tellItem(w, r, &job{drive: d}, snapshot{item: itemID})
	}
}

// tellItem answers with the finished item itself.
func (s *Server) tellItem(w http.ResponseWriter, r *http.Request, j *job, v snapshot) {
	j.drive.mu.RLock()
	defer j.drive.mu.RUnlock()
	it := j.drive.items[v.item]
	if it == nil {
		notFound().write(s, w, r)
		return
	}
	c := &call{s: s, r: r, account: j.drive.owner(), drive: j.drive, base: s.base(r), now: s.now()}
	writeJSON(w, http.StatusOK, c.render(it))
}

// tellFailed answers in one of the shapes of microsoft.md §2.3 and §2.4.
func (s *Server) tellFailed(w http.ResponseWriter, r *http.Request, j *job, v snapshot, shape string) {
	body := asyncStatus{Operation: j.operation, Percent: 0.0, Status: "failed", Description: v.reason}
	status := http.StatusInternalServerError
	switch shape {
	case "200":
		status = http.StatusOK
	case "202":
		status = http.StatusAccepted
	case "202operation":
		status = http.StatusAccepted
		body = asyncStatus{ID: newGUID(), Status: "failed", Error: map[string]any{"code": v.code, "message": "Could not process"},
			Context: s.base(r) + "/_api/v2.1/$metadata#drives('default')/operations/$entity"}
	case "errorCode":
		status = http.StatusOK
		body.ErrorCode = "AccessDenied_Sharing"
	case "cancelled", "deleteFailed":
		status, body.Status = http.StatusOK, shape
	case "envelope":
		refuse(500, v.code, v.reason).write(s, w, r)
		return
	case "500operationNotFound", "404operationNotFound":
		code, _ := strconv.Atoi(strings.TrimSuffix(shape, "operationNotFound"))
		noOperation(code).write(s, w, r)
		return
	case "500empty":
		w.WriteHeader(status)
		return
	case "500html":
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(htmlUnavailable))
		return
	}
	writeJSON(w, status, body)
}
