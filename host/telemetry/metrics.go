package telemetry

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/clinvk/clinvk/host/engine"
)

// Engine is asked about backends whenever somebody reads the metrics.
type Engine interface {
	Backends() []engine.BackendInfo
	Load(backend string) (running, queued, limit int)
}

// Config of Metrics.
type Config struct {
	// Version of the server.
	Version string
	// Sessions counts the kept ones, from memory; ok is false when nobody knows. nil:
	// there is no such metric.
	Sessions func() (n int, ok bool)
}

// Metrics are the server's counters. Labels are bounded: names of backends, dialects,
// routes and codes, and nothing that a client may choose. The methods may be called
// concurrently.
type Metrics struct {
	registry *prometheus.Registry

	turns                       *prometheus.CounterVec
	duration, firstToken, queue *prometheus.HistogramVec
	tokens                      *prometheus.CounterVec
	requests                    *prometheus.CounterVec
	requestDuration             *prometheus.HistogramVec
}

// Buckets in seconds. Turns last from the milliseconds of a warm process to the hour
// that is their limit; a wait in the queue has a minute.
var (
	turnBuckets    = []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}
	tokenBuckets   = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	queueBuckets   = []float64{.001, .01, .1, .5, 1, 2.5, 5, 10, 30, 60}
	requestBuckets = []float64{.001, .0025, .005, .01, .05, .1, .5, 1, 5, 10, 60, 600}
)

// New makes the metrics of one server, in a registry of their own.
func New(c Config) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "clinvk", Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "clinvk", Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		turns: counter("turns_total", "Turns that are over, by outcome: ok, or the code of the error.",
			"backend", "dialect", "outcome"),
		duration: histogram("turn_duration_seconds", "Time from a turn's request to its end, refused turns excepted.",
			turnBuckets, "backend", "dialect"),
		firstToken: histogram("turn_first_token_seconds", "Time from a turn's request to the first part of its answer.",
			tokenBuckets, "backend", "dialect"),
		queue:  histogram("turn_queue_seconds", "Wait of turns for a place at their backend.", queueBuckets, "backend"),
		tokens: counter("tokens_total", "Tokens of turns, by kind; input includes cached ones, output includes reasoning.", "backend", "kind"),
		requests: counter("http_requests_total", "HTTP requests that are over, by dialect, pattern of the route, method and status.",
			"dialect", "route", "method", "status"),
		requestDuration: histogram("http_request_duration_seconds", "Time of HTTP requests; that of a stream is its whole length.",
			requestBuckets, "dialect", "route"),
	}
	m.registry.MustRegister(m.turns, m.duration, m.firstToken, m.queue, m.tokens, m.requests, m.requestDuration,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build(c.Version))
	if c.Sessions != nil {
		m.registry.MustRegister(sessions{c.Sessions})
	}
	return m
}

// build is a constant 1 whose labels tell what runs.
func build(version string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "clinvk", Name: "build_info", Help: "Always 1; the labels tell what runs.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	g.Set(1)
	return g
}

// Watch adds the state of an engine's backends; once per Metrics.
func (m *Metrics) Watch(e Engine) { m.registry.MustRegister(backends{e}) }

// Handler serves the metrics in Prometheus' text format, or as OpenMetrics to those
// who ask for it.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{DisableCompression: true, EnableOpenMetrics: true})
}

// Turn counts one that is over. dialect is where it came from; outcome is "ok" or the
// name of its error's code.
func (m *Metrics) Turn(dialect, outcome string, o engine.Outcome) {
	m.turns.WithLabelValues(o.Backend, dialect, outcome).Inc()
	if !o.Admitted {
		return
	}
	m.duration.WithLabelValues(o.Backend, dialect).Observe(o.Timing.Total.Seconds())
	m.queue.WithLabelValues(o.Backend).Observe(o.Timing.Queue.Seconds())
	if o.Timing.FirstToken > 0 {
		m.firstToken.WithLabelValues(o.Backend, dialect).Observe(o.Timing.FirstToken.Seconds())
	}
	for _, t := range [...]struct {
		kind string
		n    *int64
	}{
		{"input", o.Usage.InputTokens},
		{"output", o.Usage.OutputTokens},
		{"cache_read", o.Usage.CacheReadTokens},
		{"cache_write", o.Usage.CacheWriteTokens},
		{"reasoning", o.Usage.ReasoningTokens},
	} {
		if n := engine.Known(t.n); n > 0 { // a plugin may say anything, a counter only grows
			m.tokens.WithLabelValues(o.Backend, t.kind).Add(float64(n))
		}
	}
}

// Request counts one that is over. route is its pattern; empty: no route took it.
func (m *Metrics) Request(dialect, route, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(dialect, route, methodLabel(method), statusLabel(status)).Inc()
	m.requestDuration.WithLabelValues(dialect, route).Observe(took.Seconds())
}

// methodLabel bounds the methods: a client may send any word.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
