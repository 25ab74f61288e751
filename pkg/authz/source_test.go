package authz

import (
	"testing"

	"github.com/cedargate/cedargate/pkg/mcp"
)

func TestSource(t *testing.T) {
	tests := []struct {
		why       string
		peer      string
		forwarded []string
		hops      int
		want      string // "" means none, "?" means unknown
	}{
		{"the peer, whatever the header says", "192.0.2.1", []string{"198.51.100.7"}, 0, "192.0.2.1"},
		{"a mapped address is an IPv4 address", "::ffff:192.0.2.1", nil, 0, "192.0.2.1"},
		{"a unix socket has no address", "", nil, 0, ""},
		{"a zone is not known to Cedar", "fe80::1%eth0", nil, 0, "?"},
		{"one hop: the rightmost", "192.0.2.1", []string{"6.6.6.6, 198.51.100.7"}, 1, "198.51.100.7"},
		{"two hops behind a balancer", "192.0.2.1", []string{"6.6.6.6, 198.51.100.7, 192.0.2.9"}, 2, "198.51.100.7"},
		{"lines are joined in order", "192.0.2.1", []string{"6.6.6.6", "198.51.100.7", "192.0.2.9"}, 2, "198.51.100.7"},
		{"fewer than hops: the leftmost", "192.0.2.1", []string{"198.51.100.7"}, 3, "198.51.100.7"},
		{"no header: the peer", "192.0.2.1", nil, 1, "192.0.2.1"},
		{"an empty header: the peer", "192.0.2.1", []string{""}, 1, "192.0.2.1"},
		{"a port is cut off", "192.0.2.1", []string{"198.51.100.7:4711"}, 1, "198.51.100.7"},
		{"brackets are cut off", "192.0.2.1", []string{"[2001:db8::1]"}, 1, "2001:db8::1"},
		{"brackets and port are cut off", "192.0.2.1", []string{"[2001:db8::1]:443"}, 1, "2001:db8::1"},
		{"a mapped address in the header", "192.0.2.1", []string{"::ffff:198.51.100.7"}, 1, "198.51.100.7"},
		{"a name is no address", "192.0.2.1", []string{"unknown"}, 1, "?"},
		{"an empty entry is no address", "192.0.2.1", []string{"198.51.100.7, "}, 1, "?"},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			r := Request{Source: test.peer}
			for _, v := range test.forwarded {
				r.HTTP.Header = append(r.HTTP.Header, mcp.Field{Name: "x-forwarded-for", Value: v})
			}
			src, got := sourceOf(r, test.hops), ""
			switch {
			case src.unknown:
				got = "?"
			case src.addr.IsValid():
				got = src.addr.String()
			}
			if got != test.want {
				t.Errorf("sourceOf(%q, %q, %d) = %q, want %q", test.peer, test.forwarded, test.hops, got, test.want)
			}
		})
	}
}
