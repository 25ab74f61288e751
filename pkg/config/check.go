package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cedargate/cedargate/pkg/mcp"
	cedargatev1 "github.com/cedargate/cedargate/proto/cedargate/v1"
)

// The largest values that limits may have.
const (
	maxBodyBytes   = 64 << 20 // the receive limit of the gRPC server lies above it
	maxElements    = 1_000_000
	maxTokenBytes  = 48 << 10
	maxTrustedHops = 32
)

// config checks what the file means and fills in the defaults.
func (r *reader) config(in *cedargatev1.Config) *Config {
	for _, path := range []string{"servers", "policies.path"} {
		r.required(path)
	}
	if !r.has("api_keys") && !r.has("workloads") {
		r.required("issuers")
	}
	policies := cmp.Or(in.GetPolicies(), &cedargatev1.Policies{})
	limits := cmp.Or(in.GetLimits(), &cedargatev1.Limits{})
	rules := mcp.Rules{
		BodyBytes: r.limit("limits.body_bytes", limits.BodyBytes, 262144, maxBodyBytes),
		Elements:  r.limit("limits.elements", limits.Elements, 10000, maxElements),
	}
	c := &Config{
		Issuers:     r.issuers(in.GetIssuers()),
		APIKeys:     r.apiKeys(in.GetApiKeys()),
		PolicyPath:  policies.GetPath(),
		OmitBuiltin: !orTrue(policies.Builtin),
		AuditPath:   cmp.Or(in.GetAudit().GetPath(), "stdout"),
		Log:         r.log(in.GetLog()),
		TokenBytes:  r.limit("limits.token_bytes", limits.TokenBytes, 16384, maxTokenBytes),
		TrustedHops: int(in.GetTrustedHops()),
		places:      r.places(),
	}
	if c.TrustedHops > maxTrustedHops {
		r.refuse("trusted_hops", fmt.Sprintf("is %d, want 0 to %d", c.TrustedHops, maxTrustedHops), "")
	}
	c.Workloads = r.workloads(in.GetWorkloads(), c.Issuers)
	r.listen(in.GetListen(), c)
	c.caPlaces, c.askPlaces = r.caPlaces, r.askPlaces
	c.Servers = r.servers(in.GetServers(), c.Issuers, rules)
	r.keysInUse(c)
	r.workloadsInUse(c)
	return c
}

// required reports a field that the mapping around it does not mention. One
// that is there and cannot be read has been reported already.
func (r *reader) required(path string) {
	if !r.has(path) && r.position(path).Kind == yaml.MappingNode {
		r.refuse(path, "is missing", "")
	}
}

// notEmpty reports a list without elements.
func (r *reader) notEmpty(path, message string) {
	if n := r.written[path]; n != nil && n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		r.refuse(path, message, "")
	}
}

// limit gives the value of a limit, or its default when it is not written.
func (r *reader) limit(path string, value *uint32, byDefault, most int) int {
	if value == nil {
		return byDefault
	}
	if *value == 0 || int64(*value) > int64(most) {
		r.refuse(path, fmt.Sprintf("is %d, want 1 to %d", *value, most), fmt.Sprintf("the default is %d", byDefault))
	}
	return int(*value)
}

// log reads how the operator's log is written.
func (r *reader) log(in *cedargatev1.Log) Log {
	levels := []string{"debug", "info", "warn", "error"}
	values := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	format := r.oneOf("log.format", in.GetFormat(), "json", "text")
	level := r.oneOf("log.level", cmp.Or(in.GetLevel(), "info"), levels...)
	return Log{Text: format == 1, Level: values[level]}
}

// oneOf gives the place of value among known; the first is the default.
func (r *reader) oneOf(path, value string, known ...string) int {
	for i, k := range known {
		if value == k {
			return i
		}
	}
	if value != "" {
		r.refuse(path, fmt.Sprintf("is %q", value), suggestion(value, known))
	}
	return 0
}

// listen reads the addresses.
func (r *reader) listen(in *cedargatev1.Listen, c *Config) {
	c.GRPC = r.address("listen.grpc", cmp.Or(in.GetGrpc(), "127.0.0.1:9191"))
	c.Admin = r.address("listen.admin", cmp.Or(in.GetAdmin(), "127.0.0.1:9192"))
	if c.GRPC == c.Admin && !strings.HasSuffix(c.GRPC.Address, ":0") {
		r.refuse("listen.admin", "is the address of listen.grpc too", "take another port")
	}
}

// address reads host:port or unix:///path.
func (r *reader) address(path, text string) Address {
	if socket, ok := strings.CutPrefix(text, "unix:"); ok {
		name, ok := strings.CutPrefix(socket, "//")
		if !ok || len(name) < 2 || name[0] != '/' {
			r.refuse(path, fmt.Sprintf("is %q", text), "write unix:///path/of/the/socket")
		}
		return Address{Network: "unix", Address: name}
	}
	host, port, err := net.SplitHostPort(text)
	if number, e := strconv.ParseUint(port, 10, 16); err != nil || e != nil || strconv.FormatUint(number, 10) != port {
		r.refuse(path, fmt.Sprintf("is %q, want host:port with a port from 0 to 65535, or unix:///path", text), "")
		return Address{}
	}
	if !loopback(host) {
		r.advise(path, fmt.Sprintf("%q is not a loopback address: whoever reaches it is served", text),
			"close it to all but Envoy")
	}
	return Address{Network: "tcp", Address: text}
}

// loopback tells whether host, without a port, can only be this machine.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback() || strings.EqualFold(host, "localhost")
}

var namePattern = regexp.MustCompile(`^[a-z0-9-]+$`)

// names checks the names of the elements of a list of mappings: each is there
// and stands once.
func (r *reader) names(list string, names []string) {
	first := map[string]int{}
	for i, name := range names {
		path := index(list, i) + ".name"
		r.required(path)
		if name == "" {
			continue
		}
		if before, ok := first[name]; ok {
			r.refuse(path, fmt.Sprintf("is the name of %s too", index(list, before)), "")
			continue
		}
		first[name] = i
	}
}

// plainNames checks that names can stand in Cedar ids before a slash.
func (r *reader) plainNames(list string, names []string) {
	r.names(list, names)
	for i, name := range names {
		if name != "" && !namePattern.MatchString(name) {
			r.refuse(index(list, i)+".name", fmt.Sprintf("is %q, want small letters, digits and -", name), "")
		}
	}
}

// each checks every string of a list, and that it stands there once. A problem
// is "" for a string that is right.
func (r *reader) each(path string, list []string, problem func(string) (message, hint string)) {
	seen := map[string]bool{}
	for i, s := range list {
		if s == "" {
			continue // reported when it was read
		}
		if message, hint := problem(s); message != "" {
			r.refuse(index(path, i), message, hint)
		}
		if seen[s] {
			r.refuse(index(path, i), fmt.Sprintf("%q stands in the list twice", s), "")
		}
		seen[s] = true
	}
}

// anything is no problem.
func anything(string) (message, hint string) { return "", "" }

// orTrue gives the value of a field that is true unless it is written.
func orTrue(b *bool) bool { return b == nil || *b }
