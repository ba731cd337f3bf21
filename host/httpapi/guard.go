package httpapi

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Guard keeps web pages out: the server can make an agent run commands, and any
// page in a browser on this machine can send it requests.
type Guard struct {
	// AllowedHosts are names, besides those of loopback, that the Host header may
	// have.
	AllowedHosts []string
	// AllowIPs admits any IP address as Host: for servers that listen on more than
	// loopback. A page that was rebound by DNS has a name there.
	AllowIPs bool
	// AllowedOrigins may call from a browser, for example "http://localhost:3000".
	// "*" is not accepted.
	AllowedOrigins []string
	// AllowCredentials lets those origins send cookies and the like.
	AllowCredentials bool
	// MaxAge of a preflight's answer, in seconds.
	MaxAge int
}

// check refuses what a web page without permission could have sent.
func (g *Guard) check(r *http.Request) *Error {
	if !g.hostAllowed(r.Host) {
		return Errorf(http.StatusForbidden, "the host %q is not allowed; use 127.0.0.1 or localhost, or add it to server.allowed_hosts", r.Host)
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if !g.originAllowed(origin, r.Host) {
			return Errorf(http.StatusForbidden, "the origin %q is not allowed; add it to server.cors_allowed_origins to let its pages use this server", origin)
		}
	} else if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		if r.Method != http.MethodGet || r.Header.Get("Sec-Fetch-Mode") != "navigate" {
			return Errorf(http.StatusForbidden, "requests from other sites are not allowed")
		}
	}
	if bare := r.ContentLength == 0 && r.Header.Get("Content-Type") == ""; bare { // SDKs cancel so; what a page's form sends always has a type
		return nil
	}
	if r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
		media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || media != "application/json" {
			return Errorf(http.StatusUnsupportedMediaType, "the content type must be application/json, not %q", r.Header.Get("Content-Type"))
		}
	}
	return nil
}

func (g *Guard) hostAllowed(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if ip, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return ip.IsLoopback() || g.AllowIPs || slices.Contains(g.AllowedHosts, name)
	}
	return name == "localhost" || slices.ContainsFunc(g.AllowedHosts, func(a string) bool { return strings.EqualFold(a, name) })
}

func (g *Guard) originAllowed(origin, host string) bool {
	if slices.ContainsFunc(g.AllowedOrigins, func(a string) bool { return a != "*" && strings.EqualFold(a, origin) }) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// cors sets the headers that let an allowed origin read the answer; it answers
// preflights and says whether it did.
func (g *Guard) cors(w http.ResponseWriter, r *http.Request) (answered bool) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if !g.originAllowed(origin, r.Host) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "X-Request-Id, Request-Id, Retry-After, Retry-After-Ms, X-Should-Retry, Server-Timing, X-Clinvk-Backend, X-Clinvk-Model, X-Clinvk-Ignored, X-Clinvk-Estimated")
	if g.AllowCredentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE, OPTIONS")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
	}
	if g.MaxAge > 0 {
		h.Set("Access-Control-Max-Age", itoa(g.MaxAge))
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}
