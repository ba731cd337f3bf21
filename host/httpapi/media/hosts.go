package media

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// hosts are the names and addresses that may be fetched from: alone, which stands for
// the usual ports of HTTP, or with a port.
type hosts map[string]bool

func newHosts(entries []string) hosts {
	h := hosts{}
	for _, entry := range entries {
		name, port, err := net.SplitHostPort(entry)
		if err != nil {
			h[normalHost(strings.Trim(entry, "[]"))] = true
			continue
		}
		h[net.JoinHostPort(normalHost(name), port)] = true
	}
	return h
}

// normalHost is the one spelling of a name or an address.
func normalHost(name string) string {
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

func (h hosts) has(name, port string) bool {
	name = normalHost(name)
	return h[net.JoinHostPort(name, port)] || (port == "80" || port == "443") && h[name]
}

// allows says whether a URL may be fetched.
func (h hosts) allows(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && h.has(u.Hostname(), portOf(u))
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// reaches says whether a name may lead to an address: to a public one, or to one that
// is itself on the list. Without that, who rules the name of a listed host would rule
// what this machine can be made to ask in its own network.
func (h hosts) reaches(ip netip.Addr, port string) bool {
	return public(ip) || h.has(ip.String(), port) || ip.IsLoopback() && h.has("localhost", port)
}

// special are the addresses that are not public, besides those that netip tells.
var special = func() (out []netip.Prefix) {
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"168.63.129.16/32", // what Azure's machines ask about themselves
		"2002::/16",        // IPv4 within IPv6
		"2001::/23", "2001:db8::/32", "3fff::/20",
	} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}()

// given is the part of IPv6 that public addresses are given out of. In the rest are
// IPv4 addresses in many disguises.
var given = netip.MustParsePrefix("2000::/3")

func public(ip netip.Addr) bool {
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Zone() != "" || ip.Is6() && !given.Contains(ip) {
		return false
	}
	for _, p := range special {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// Resolver looks names up, as *net.Resolver does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// dialer connects to hosts on the list. It looks a name up and checks what it got
// before it connects to just that, so that a name cannot change in between.
type dialer struct {
	hosts    hosts
	resolver Resolver
}

func (d dialer) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil || !d.hosts.has(host, service) {
		return nil, fmt.Errorf("%s is not on the list", address)
	}
	ips, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	for _, ip := range ips {
		if !d.hosts.reaches(ip, service) {
			return nil, fmt.Errorf("%s has the address %s, which is not a public one; to reach it, list the address, too", host, ip)
		}
	}
	var failures []error
	for _, ip := range ips {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(ip, uint16(port)).String())
		if err == nil {
			return conn, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

func (d dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip.Unmap()}, nil
	}
	ips, err := d.resolver.LookupNetIP(ctx, "ip", host)
	if err == nil && len(ips) == 0 {
		err = fmt.Errorf("%s has no address", host)
	}
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	return ips, err
}
