// Package meta answers what is about the server itself: health, metrics, and the
// OpenAPI document with its page. It is also the dialect of paths that belong to nobody.
package meta

import (
	"net/http"
	"sync"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/reference"
)

// Engine is what health is told of.
type Engine interface {
	Backends() []engine.BackendInfo
}

// Store is what health asks about sessions.
type Store interface {
	// SessionCount is the number of kept sessions, from memory; ok is false when it is
	// not known.
	SessionCount() (n int, ok bool)
}

// Config of the meta dialect.
type Config struct {
	Engine  Engine
	Version string
	// Store of sessions; nil: there is none.
	Store Store
	// OpenAPI makes the document, as JSON; it is called once, when it is first asked for.
	OpenAPI func() ([]byte, error)
	// Metrics answers GET /metrics; nil: they are switched off.
	Metrics http.Handler
	// Begin of the server; zero: now.
	Begin time.Time
	// State of the configuration; nil, or without an answer: it is not told.
	State func() *ConfigState
	// Detailed says whether a request may see more than the status.
	Detailed func(r *http.Request) bool
}

// ConfigState is what operators want to know of the configuration.
type ConfigState struct {
	// Path of the file; empty: there is none.
	Path string `json:"path,omitempty"`
	// LoadedAt is when what holds was read.
	LoadedAt time.Time `json:"loaded_at"`
	// Error says why what was read later does not hold; empty: nothing was.
	Error string `json:"error,omitempty"`
	// FailedAt is when that was found.
	FailedAt time.Time `json:"failed_at,omitzero"`
	// AfterRestart lists what has changed and holds after a restart only.
	AfterRestart []string `json:"after_restart,omitempty"`
}

// Dialect answers health and the like.
type Dialect struct {
	config   Config
	document func() ([]byte, error)
	page     func() (*reference.Page, error)
}

// New makes the dialect.
func New(c Config) *Dialect {
	if c.Begin.IsZero() {
		c.Begin = time.Now()
	}
	d := &Dialect{config: c, document: sync.OnceValues(c.OpenAPI)}
	d.page = sync.OnceValues(func() (*reference.Page, error) {
		document, err := d.document()
		if err != nil {
			return nil, err
		}
		return reference.Render(document)
	})
	return d
}

// Name of the dialect.
func (*Dialect) Name() string { return "meta" }

// Prefixes of its paths: all that are nobody else's.
func (*Dialect) Prefixes() []string { return []string{"/"} }

// WriteError writes problem+json.
func (*Dialect) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	httpapi.WriteProblem(w, r, err)
}

// Routes of the dialect.
func (d *Dialect) Routes() []httpapi.Route {
	return []httpapi.Route{
		{Method: http.MethodGet, Pattern: "/health", OperationID: "health", Handle: d.health},
		{Method: http.MethodGet, Pattern: "/health/live", OperationID: "live", Handle: d.live},
		{Method: http.MethodGet, Pattern: "/health/ready", OperationID: "ready", Handle: d.health},
		{Method: http.MethodGet, Pattern: "/openapi.json", OperationID: "openapi", Handle: d.openapi},
		{Method: http.MethodGet, Pattern: "/docs", OperationID: "docs", Handle: d.docs},
		{Method: http.MethodGet, Pattern: "/metrics", OperationID: "metrics", Handle: d.metrics},
	}
}

type health struct {
	Status   string          `json:"status"`
	Version  string          `json:"version,omitempty"`
	Uptime   string          `json:"uptime,omitempty"`
	UptimeMS int64           `json:"uptime_ms,omitempty"`
	Backends []backendHealth `json:"backends,omitempty"`
	Sessions *sessionHealth  `json:"session_store,omitempty"`
	Config   *ConfigState    `json:"config,omitempty"`
}

type backendHealth struct {
	Name      string `json:"name"`
	Available bool   `json:"available"`
	State     string `json:"state"`
	Message   string `json:"message"`
}

type sessionHealth struct {
	Available    bool `json:"available"`
	SessionCount int  `json:"session_count"`
}

// health is answered from memory: "ok" when every backend can serve, "degraded"
// when some can, "unhealthy" (503) when none.
func (d *Dialect) health(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	h := health{Status: "ok"}
	up := 0
	infos := d.config.Engine.Backends()
	for _, info := range infos {
		b := backendHealth{Name: info.Name, Available: info.Available(), State: info.State, Message: info.Message()}
		if b.Available {
			up++
		}
		h.Backends = append(h.Backends, b)
	}
	status := http.StatusOK
	switch {
	case up == 0:
		h.Status, status = "unhealthy", http.StatusServiceUnavailable
	case up < len(infos):
		h.Status = "degraded"
	}
	if d.config.Detailed != nil && !d.config.Detailed(r) {
		h = health{Status: h.Status}
	} else {
		uptime := time.Since(d.config.Begin)
		h.Version, h.Uptime, h.UptimeMS = d.config.Version, uptime.Round(time.Second).String(), uptime.Milliseconds()
		h.Sessions = d.sessions()
		if d.config.State != nil {
			h.Config = d.config.State()
		}
	}
	httpapi.WriteJSON(w, status, "application/json", h)
	return nil
}

func (*Dialect) live(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
	httpapi.WriteJSON(w, http.StatusOK, "application/json", health{Status: "ok"})
	return nil
}

// sessions tells of the store; one that cannot count cannot be used.
func (d *Dialect) sessions() *sessionHealth {
	if d.config.Store == nil {
		return &sessionHealth{}
	}
	n, ok := d.config.Store.SessionCount()
	if !ok {
		return &sessionHealth{}
	}
	return &sessionHealth{Available: true, SessionCount: n}
}

func (d *Dialect) openapi(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
	document, err := d.document()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(document)
	return err
}

// docs is the page of the document. It needs a key where the document does.
func (d *Dialect) docs(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
	page, err := d.page()
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", page.Policy)
	h.Set("Referrer-Policy", "no-referrer")
	_, err = w.Write(page.HTML)
	return err
}

func (d *Dialect) metrics(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	if d.config.Metrics == nil {
		return httpapi.Errorf(http.StatusNotFound, "metrics are switched off; set server.metrics_enabled to true to switch them on")
	}
	d.config.Metrics.ServeHTTP(w, r)
	return nil
}
