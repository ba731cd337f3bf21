package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are those whose word about a client's address is believed.
type Proxies []netip.Prefix

func (p Proxies) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(prefix netip.Prefix) bool { return prefix.Contains(a) })
}

// client is the address that a request comes from: the peer's, or what a trusted proxy
// says. Where its headers X-Forwarded-For and Forwarded say different things, one of
// them may be the client's own, and the peer's address counts. The zero Addr: unknown.
func (p Proxies) client(r *http.Request) netip.Addr {
	peer := address(r.RemoteAddr)
	if !p.trusts(peer) {
		return peer
	}
	var said []netip.Addr
	for _, hops := range [][]string{
		elements(r.Header.Values("X-Forwarded-For")), forwardedFor(r.Header.Values("Forwarded")),
	} {
		if len(hops) > 0 {
			said = append(said, p.last(peer, hops))
		}
	}
	if len(said) == 0 || len(said) == 2 && said[0] != said[1] {
		return peer
	}
	return said[0]
}

// last is the last hop that is no trusted proxy. What cannot be read was said by
// the hop after it.
func (p Proxies) last(peer netip.Addr, hops []string) netip.Addr {
	from := peer
	for _, hop := range slices.Backward(hops) {
		a := address(hop)
		if !a.IsValid() {
			return from
		}
		if from = a; !p.trusts(a) {
			return a
		}
	}
	return from
}

// address reads an address, with or without a port; invalid: it is none.
func address(s string) netip.Addr {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// elements are those of a header that is a list.
func elements(values []string) (out []string) {
	for _, v := range values {
		for e := range strings.SplitSeq(v, ",") {
			out = append(out, strings.TrimSpace(e))
		}
	}
	return out
}

// forwardedFor are the for parameters of Forwarded (RFC 7239), one for each hop; a hop
// without one is empty.
func forwardedFor(values []string) (out []string) {
	for _, hop := range elements(values) {
		found := ""
		for pair := range strings.SplitSeq(hop, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if strings.EqualFold(name, "for") {
				found = strings.Trim(value, `"`)
			}
		}
		out = append(out, found)
	}
	return out
}
