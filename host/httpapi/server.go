package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/engine"
)

// DefaultMaxBody bounds a request's body, in bytes: agents send prompts of some
// hundred kilobytes, and images come as base64.
const DefaultMaxBody = 32 << 20

// Config of a Server.
type Config struct {
	// Dialects in no order.
	Dialects []Dialect
	// Fallback writes errors of paths that belong to no dialect; required.
	Fallback Dialect
	Guard    Guard
	// Keys that clients must send one of; nil: none is needed.
	Keys *Keys
	// Limiter bounds the requests of each client; nil: they are not bounded.
	Limiter *Limiter
	// MaxBody in bytes; 0: DefaultMaxBody.
	MaxBody int64
	// WriteTimeout bounds each write to a client that does not read; 0: 30 s.
	WriteTimeout time.Duration
	// Observe is told of each request that is over; nil: nobody is.
	Observe Observer
	// Logger of the access log; nil: nowhere.
	Logger *slog.Logger
}

// Observer is told of a request that is over: its dialect, the pattern of its route
// (empty: none took it), method, and status (0: nothing was written). Many may call it
// at a time.
type Observer func(dialect, route, method string, status int, took time.Duration)

// Server is an http.Handler for all dialects.
type Server struct {
	config   Config
	router   *httprouter.Router
	prefixes []prefix
	routes   []Route
	log      *slog.Logger
}

type prefix struct {
	path    string
	dialect Dialect
}

const defaultWriteTimeout = 30 * time.Second

// NewServer builds the router. It fails when two routes conflict.
func NewServer(c Config) (s *Server, err error) {
	if c.MaxBody <= 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = defaultWriteTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s = &Server{config: c, log: c.Logger, router: httprouter.New()}
	// SDKs do not follow redirects of a POST reliably, and drop keys on the way.
	s.router.RedirectTrailingSlash, s.router.RedirectFixedPath = false, false
	s.router.HandleOPTIONS = false
	s.router.NotFound = s.plain(func(w http.ResponseWriter, r *http.Request) error {
		return Errorf(http.StatusNotFound, "there is nothing at %s %s%s", r.Method, r.URL.Path, s.hint(r.URL.Path))
	})
	s.router.MethodNotAllowed = s.plain(func(w http.ResponseWriter, r *http.Request) error {
		allow := slices.DeleteFunc(strings.Split(w.Header().Get("Allow"), ", "), func(m string) bool { return m == http.MethodOptions })
		w.Header().Set("Allow", strings.Join(allow, ", "))
		if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			// Codex tries a WebSocket first, and for seconds unless it is told so.
			w.Header().Set("Upgrade", "HTTP/1.1")
			return Errorf(http.StatusUpgradeRequired, "there are no WebSockets at %s; it takes %s over HTTP", r.URL.Path, strings.Join(allow, ", "))
		}
		return Errorf(http.StatusMethodNotAllowed, "%s does not take %s; it takes %s", r.URL.Path, r.Method, strings.Join(allow, ", "))
	})
	defer func() {
		if conflict := recover(); conflict != nil { // httprouter reports conflicts so
			s, err = nil, fmt.Errorf("routes: %v", conflict)
		}
	}()
	for _, d := range append(slices.Clone(c.Dialects), c.Fallback) {
		for _, p := range d.Prefixes() {
			s.prefixes = append(s.prefixes, prefix{p, d})
		}
		for _, route := range d.Routes() {
			s.add(d, route)
		}
	}
	slices.SortFunc(s.prefixes, func(a, b prefix) int { return len(b.path) - len(a.path) })
	return s, nil
}

// Routes is the table of all routes.
func (s *Server) Routes() []Route { return slices.Clone(s.routes) }

func (s *Server) add(d Dialect, route Route) {
	handle := func(w http.ResponseWriter, r *http.Request, p httprouter.Params) {
		a := about(r.Context())
		a.route, a.dialect = route.Pattern, d
		s.finish(w, r, route.Handle(w, r, p))
	}
	s.router.Handle(route.Method, route.Pattern, handle)
	s.routes = append(s.routes, route)
	if route.Method == http.MethodGet {
		s.router.Handle(http.MethodHead, route.Pattern, handle)
	}
}

func (s *Server) plain(f func(w http.ResponseWriter, r *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.finish(w, r, f(w, r)) })
}

// finish writes the error of a handler, if there is one and nothing was written.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		return
	}
	a := about(r.Context())
	a.err = err
	if rec, ok := w.(*recorder); ok && rec.status != 0 {
		return
	}
	a.dialect.WriteError(w, r, err)
}

// dialectOf chooses the dialect of a path by its longest prefix.
func (s *Server) dialectOf(path string) Dialect {
	for _, p := range s.prefixes {
		if path == p.path || strings.HasPrefix(path, strings.TrimSuffix(p.path, "/")+"/") {
			return p.dialect
		}
	}
	return s.config.Fallback
}

// hint names the path that was probably meant.
func (s *Server) hint(path string) string {
	var best string
	for _, route := range s.routes {
		last := route.Pattern[strings.LastIndexByte(route.Pattern, '/'):]
		if strings.HasSuffix(path, last) && (best == "" || len(route.Pattern) < len(best)) && s.dialectOf(path).Name() == s.dialectOf(route.Pattern).Name() {
			best = route.Pattern
		}
	}
	if best == "" {
		return "; GET /openapi.json lists all paths"
	}
	return "; did you mean " + best + "?"
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &request{id: requestID(r), dialect: s.dialectOf(r.URL.Path)}
	r = r.WithContext(context.WithValue(r.Context(), requestKey{}, a))
	rec := &recorder{ResponseWriter: w, timeout: s.config.WriteTimeout}
	h := rec.Header()
	h.Set("X-Request-Id", a.id)
	h.Set("Request-Id", a.id)
	h.Set("X-Content-Type-Options", "nosniff")
	begin, body := time.Now(), r.Body
	defer func() {
		s.recovered(rec, r, recover())
		s.access(rec, r, time.Since(begin))
		linger(rec, r, body)
	}()
	if s.config.Guard.cors(rec, r) {
		return
	}
	if err := s.config.Guard.check(r); err != nil {
		s.finish(rec, r, err)
		return
	}
	if err := s.config.Limiter.check(r, s.config.Keys); err != nil {
		s.finish(rec, r, err)
		return
	}
	if err := s.config.Keys.check(r); err != nil {
		rec.Header().Set("WWW-Authenticate", "Bearer")
		s.finish(rec, r, err)
		return
	}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = http.MaxBytesReader(rec, r.Body, s.config.MaxBody)
	}
	s.router.ServeHTTP(rec, r)
}

// recovered turns a panic of a handler into an error of one request.
func (s *Server) recovered(w *recorder, r *http.Request, cause any) {
	if cause == nil {
		return
	}
	s.log.Error("a handler panicked", "panic", fmt.Sprint(cause), "request_id", about(r.Context()).id, "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler) // the client must see that the answer is not whole
	}
	s.finish(w, r, &engine.Error{Code: engine.CodeInternal, Message: "internal error"})
}

func (s *Server) access(w *recorder, r *http.Request, took time.Duration) {
	if w.Header().Get("Content-Length") != "" { // a whole answer: the client need not wait for the log
		_ = http.NewResponseController(w.ResponseWriter).Flush() // an error means that it is gone
	}
	a := about(r.Context())
	if s.config.Observe != nil {
		s.config.Observe(a.dialect.Name(), a.route, r.Method, w.status, took)
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", w.status),
		slog.Int64("bytes", w.written), slog.Duration("took", took), slog.String("request_id", a.id),
	}
	if a.backend != "" {
		attrs = append(attrs, slog.String("backend", a.backend))
	}
	if a.key != "" {
		attrs = append(attrs, slog.String("key", a.key))
	}
	level := slog.LevelInfo
	if a.err != nil {
		attrs = append(attrs, slog.String("error", a.err.Error()))
		if cause := errors.Unwrap(a.err); cause != nil {
			attrs = append(attrs, slog.String("cause", cause.Error()))
		}
	}
	s.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// recorder notes what was sent and bounds each write.
type recorder struct {
	http.ResponseWriter
	status  int
	written int64
	timeout time.Duration
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	// A connection that cannot have deadlines is one of a test.
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.timeout))
	n, err := w.ResponseWriter.Write(b)
	w.written += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func itoa(n int) string { return strconv.Itoa(n) }
