package authz

import (
	"net/netip"
	"strings"
)

// A source is where a request comes from.
type source struct {
	addr    netip.Addr // not valid for a unix socket, or when unknown
	unknown bool       // there is an address, and it cannot be read
	text    string     // for the record
}

// sourceOf takes the peer's address, or with trusted hops the n-th address
// from the right of x-forwarded-for as it arrived, the leftmost if there are
// fewer (contract §4). Further to the left stands what the client wrote.
func sourceOf(r Request, hops int) source {
	text := r.Source
	if hops > 0 {
		if entries := strings.Split(strings.Join(headers(r.HTTP, "x-forwarded-for"), ","), ","); entries[0] != "" || len(entries) > 1 {
			text = strings.TrimSpace(entries[max(len(entries)-hops, 0)])
			addr, ok := parseForwarded(text)
			return source{addr: addr, unknown: !ok, text: text}
		}
	}
	if text == "" {
		return source{}
	}
	addr, ok := parseAddr(text)
	return source{addr: addr, unknown: !ok, text: text}
}

// parseForwarded cuts off a port and brackets.
func parseForwarded(entry string) (netip.Addr, bool) {
	if ap, err := netip.ParseAddrPort(entry); err == nil {
		return parseAddr(ap.Addr().String())
	}
	if inner, ok := strings.CutPrefix(entry, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			entry = inner
		}
	}
	return parseAddr(entry)
}

// parseAddr unwraps IPv4-mapped addresses, which otherwise are in no IPv4
// range, and refuses zones, which Cedar does not know.
func parseAddr(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}
