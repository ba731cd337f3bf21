// Package meta answers what is about the server itself: health and the OpenAPI
// document. It is also the dialect of paths that belong to nobody.
package meta

import (
	"net/http"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
)

// Engine is what health is told of.
type Engine interface {
	Backends() []engine.BackendInfo
}

// Config of the meta dialect.
type Config struct {
	Engine  Engine
	Version string
	// OpenAPI is the document, as JSON.
	OpenAPI []byte
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
type Dialect struct{ config Config }

// New makes the dialect.
func New(c Config) *Dialect {
	if c.Begin.IsZero() {
		c.Begin = time.Now()
	}
	return &Dialect{config: c}
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
	}
}

type health struct {
	Status   string          `json:"status"`
	Version  string          `json:"version,omitempty"`
	Uptime   string          `json:"uptime,omitempty"`
	UptimeMS int64           `json:"uptime_ms,omitempty"`
	Backends []backendHealth `json:"backends,omitempty"`
	Config   *ConfigState    `json:"config,omitempty"`
}

type backendHealth struct {
	Name      string `json:"name"`
	Available bool   `json:"available"`
	State     string `json:"state"`
	Message   string `json:"message"`
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

func (d *Dialect) openapi(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
	w.Header().Set("Content-Type", "application/json")
	_, err := w.Write(d.config.OpenAPI)
	return err
}
