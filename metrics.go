package main

import (
	"context"
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/oauth2"

	"skylift/auth"
	"skylift/onedrive"
	"skylift/onedrive/transfer"
)

// meters are the numbers of transfers and of Microsoft; those of the web side are in handlers.
// Labels come from short fixed lists: never a user, an address, a name or an id.
type meters struct {
	registry  prometheus.Registerer
	transfers *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	bytes     *prometheus.CounterVec
	calls     *prometheus.CounterVec
	answers   *prometheus.HistogramVec
	refreshes *prometheus.CounterVec
}

func newMeters(r prometheus.Registerer) *meters {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &meters{
		registry:  r,
		transfers: counter("skylift_transfers_ended_total", "Transfers that came to their end here.", "state", "route"),
		bytes:     counter("skylift_saved_bytes_total", "Bytes of the files that arrived in OneDrive.", "route"),
		calls:     counter("skylift_microsoft_calls_total", "HTTP requests to Graph and to the addresses it gives out; status 0: no answer.", "call", "status"),
		refreshes: counter("skylift_token_refreshes_total", "Refreshes of access tokens: ok, signInRequired or failed.", "result"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "skylift_transfer_seconds", Help: "From the promise to the end of a transfer, waiting included.",
			Buckets: []float64{.5, 1, 2, 5, 10, 30, 60, 300, 1800, 3600 * 6},
		}, []string{"state", "route"}),
		answers: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "skylift_microsoft_call_seconds", Help: "Time until Microsoft's answer was read.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 10, 30},
		}, []string{"call"}),
	}
	r.MustRegister(m.transfers, m.bytes, m.calls, m.refreshes, m.seconds, m.answers,
		collectors.NewGoCollector(), collectors.NewBuildInfoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// ended counts a transfer that is final.
func (m *meters) ended(t transfer.Transfer) {
	state, route := string(t.State), string(t.Route)
	if route == "" {
		route = "none" // it ended before one was chosen
	}
	m.transfers.WithLabelValues(state, route).Inc()
	m.seconds.WithLabelValues(state, route).Observe(t.Modified.Sub(t.Created).Seconds())
	if t.State == transfer.Completed && t.Item != nil {
		m.bytes.WithLabelValues(route).Add(float64(t.Item.Size))
	}
}

// called counts a request to Microsoft.
func (m *meters) called(c onedrive.Call) {
	m.calls.WithLabelValues(c.Op, strconv.Itoa(c.Status)).Inc()
	m.answers.WithLabelValues(c.Op).Observe(c.Took.Seconds())
}

// refresher counts the refreshes that r makes.
func (m *meters) refresher(r auth.Refresher) auth.Refresher { return countedRefresher{r, m.refreshes} }

type countedRefresher struct {
	auth.Refresher
	count *prometheus.CounterVec
}

func (r countedRefresher) Refresh(ctx context.Context, refreshToken string) (*oauth2.Token, error) {
	token, err := r.Refresher.Refresh(ctx, refreshToken)
	switch {
	case err == nil:
		r.count.WithLabelValues("ok").Inc()
	case errors.Is(err, auth.ErrSignInRequired):
		r.count.WithLabelValues("signInRequired").Inc()
	default:
		r.count.WithLabelValues("failed").Inc()
	}
	return token, err
}

// watch shows what runner holds whenever somebody asks.
func (m *meters) watch(runner *transfer.Runner) { m.registry.MustRegister(load{runner}) }

// load is a prometheus.Collector of the transfers that an instance holds.
type load struct{ runner *transfer.Runner }

var held = prometheus.NewDesc("skylift_transfers", "Transfers that this instance holds, by what they do; waiting ones by what they wait for.",
	[]string{"doing", "reason"}, nil)

func (load) Describe(to chan<- *prometheus.Desc) { to <- held }

func (l load) Collect(to chan<- prometheus.Metric) {
	now := l.runner.Load()
	show := func(doing, reason string, n int) {
		to <- prometheus.MustNewConstMetric(held, prometheus.GaugeValue, float64(n), doing, reason)
	}
	show("queued", "", now.Queued)
	show("ready", "", now.Ready)
	show("working", "", now.Working)
	show("resting", "", now.Resting)
	for reason, n := range now.Waiting {
		show("waiting", string(reason), n)
	}
}
