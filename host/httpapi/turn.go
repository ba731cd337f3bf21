package httpapi

import (
	"cmp"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// Headers of turns.
const (
	headerBackend = "X-Clinvk-Backend"
	headerModel   = "X-Clinvk-Model"
	headerIgnored = "X-Clinvk-Ignored"
	headerTiming  = "Server-Timing"
	// headerSession names the session that a turn belongs to. A request names it, too.
	headerSession = "X-Clinvk-Session"
	// headerExecution is the id that a running turn is cancelled by.
	headerExecution = "X-Clinvk-Execution"
)

// BeginTurn sets the headers that every answer of a turn has. ignored are the
// parameters that were not honoured, by the names that the client used.
func BeginTurn(w http.ResponseWriter, x *engine.Execution, ignored []string) {
	h := w.Header()
	h.Set(headerBackend, header(x.Backend))
	h.Set(headerModel, header(x.Model))
	h.Set(headerExecution, header(x.ID))
	if x.Session != "" {
		h.Set(headerSession, header(x.Session))
	}
	SetIgnored(h, ignored)
	h.Set(headerTiming, timing(x.Timing()))
}

// BeginPreview sets the headers of a turn that was not run; took is how long it took to
// find out about it.
func BeginPreview(w http.ResponseWriter, p *engine.Preview, ignored []string, took time.Duration) {
	h := w.Header()
	h.Set(headerBackend, header(p.Backend))
	h.Set(headerModel, header(cmp.Or(p.Model, p.Backend)))
	SetIgnored(h, ignored)
	h.Set(headerTiming, timing(engine.Timing{Total: took}))
}

// SetIgnored names the parameters that have no effect.
func SetIgnored(h http.Header, ignored []string) {
	if len(ignored) > 0 {
		h.Set(headerIgnored, header(strings.Join(ignored, ", ")))
	}
}

// header makes a client's text fit for a header.
func header(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, s)
}

func timing(t engine.Timing) string {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	s := fmt.Sprintf("queue;dur=%.3f, backend;dur=%.3f", ms(t.Queue), ms(t.Backend))
	if t.FirstToken > 0 {
		s += fmt.Sprintf(", ttft;dur=%.3f", ms(t.FirstToken))
	}
	return s + fmt.Sprintf(", total;dur=%.3f", ms(t.Total))
}

// Sign notes on a turn whose it is and which request it came in.
func Sign(r *http.Request, t *engine.Turn, dialect string) {
	t.Owner, t.RequestID, t.Dialect = Owner(r), RequestID(r.Context()), dialect
}

// Strict notes on a turn whether server.strict_params is on. If so it refuses what the
// client asked for in vain: ignored, and a field that nobody knows (empty: there is
// none). The error is a *wire.Error.
func Strict(t *engine.Turn, on bool, ignored []string, unknown string) error {
	t.StrictParams = on
	switch {
	case on && len(ignored) > 0:
		return &wire.Error{Path: ignored[0], Problem: "is not supported, and server.strict_params is on"}
	case on && unknown != "":
		return &wire.Error{Path: unknown, Problem: "is no field of this request, and server.strict_params is on"}
	}
	return nil
}

// SetMode sets the turn's mode and what belongs to it from their names; empty ones
// are left as they are. Errors are *Error 400 with the parameter's name from params.
func SetMode(t *engine.Turn, mode, workdir, approval, sandbox string, params [4]string) error {
	bad := func(param, value, allowed string) error {
		e := Errorf(http.StatusBadRequest, "%s is %q; it must be %s", param, value, allowed)
		e.Param = param
		return e
	}
	if mode != "" {
		if t.Mode = engine.ParseMode(mode); t.Mode == engine.ModeUnspecified {
			return bad(params[0], mode, "chat or agent")
		}
	}
	if workdir != "" {
		if !filepath.IsAbs(workdir) || strings.ContainsRune(workdir, 0) {
			return bad(params[1], workdir, "an absolute path")
		}
		t.WorkingDir = filepath.Clean(workdir)
	}
	if approval != "" {
		if t.Approval = engine.ParseApproval(approval); t.Approval == engine.ApprovalUnspecified {
			return bad(params[2], approval, "default, auto, none or always")
		}
	}
	if sandbox != "" {
		if t.Sandbox = engine.ParseSandbox(sandbox); t.Sandbox == engine.SandboxUnspecified {
			return bad(params[3], sandbox, "default, read-only, workspace or full")
		}
	}
	return nil
}

// ModeOf applies the X-Clinvk-Mode, -Workdir, -Approval-Mode, -Sandbox-Mode and -Session
// headers of dialects whose bodies have no place for them.
func ModeOf(r *http.Request, t *engine.Turn) error {
	h := r.Header
	if id := h.Get(headerSession); id != "" {
		t.Keep = &engine.Keep{ID: id, Create: true}
	}
	return SetMode(t, h.Get("X-Clinvk-Mode"), h.Get("X-Clinvk-Workdir"), h.Get("X-Clinvk-Approval-Mode"), h.Get("X-Clinvk-Sandbox-Mode"),
		[4]string{"X-Clinvk-Mode", "X-Clinvk-Workdir", "X-Clinvk-Approval-Mode", "X-Clinvk-Sandbox-Mode"})
}
