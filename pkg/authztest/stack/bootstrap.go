package stack

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// bootstrap returns text, which is envoy/envoy.yaml, changed as c says.
func (c EnvoyConfig) bootstrap(text []byte) ([]byte, error) {
	if c.Authz == "" {
		return nil, errors.New("no address of the check service")
	}
	d := parse(text)
	d.set("admin/address/socket_address/port_value", 0)
	d.set("static_resources/listeners/0/address/socket_address/port_value", 0)
	d.point("cedargate", c.Authz)
	d.set(clustersPath+"/name=cedargate/health_checks/0/no_traffic_interval", "1s")
	d.set(clustersPath+"/name=cedargate/health_checks/0/interval", "1s")
	if c.Upstream != "" {
		d.point("mcp_server", c.Upstream)
	}
	if c.Collector != "" {
		d.point("otel", c.Collector)
		d.set("layered_runtime", soon)
	} else {
		d.remove(ManagerPath + "/tracing")
		d.remove(clustersPath + "/name=otel")
	}
	if c.Version != "" && !strings.HasPrefix(c.Version, "1.40.") {
		d.remove(SizeLimitPath) // older ones do not have it
	}
	if len(c.Routes) > 0 {
		d.route(c.Routes)
	}
	d.apply(c.Set)
	return d.bytes()
}

// soon makes Envoy send its spans at once rather than every five seconds. It is
// not changed.
var soon = map[string]any{"layers": []any{map[string]any{
	"name": "static",
	"static_layer": map[string]any{
		"tracing.opentelemetry.min_flush_spans":   1,
		"tracing.opentelemetry.flush_interval_ms": 50,
	},
}}}

// point makes address the only endpoint of a cluster.
func (d *document) point(cluster, address string) {
	path := clustersPath + "/name=" + cluster
	target, err := envoyAddress(address)
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("address of %s: %w", cluster, err)
	}
	d.set(path+"/type", "STATIC")
	d.set(path+"/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address", target)
}

// envoyAddress is address as Envoy writes it.
func envoyAddress(address string) (map[string]any, error) {
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		return map[string]any{"pipe": map[string]any{"path": path}}, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	return map[string]any{"socket_address": map[string]any{"address": host, "port_value": number}}, nil
}

// route replaces the two routes of envoy.yaml by such a pair for each of
// routes, and one for the bare metadata path.
func (d *document) route(routes []Route) {
	call, metadata := clone(d.at(routesPath+"/0")), clone(d.at(routesPath+"/1"))
	var nodes []*yaml.Node
	for i, r := range routes {
		cluster := "mcp_server"
		if r.Upstream != "" {
			cluster = d.upstream(i, r.Upstream)
		}
		one := document{root: clone(call)}
		one.set("match/path", r.Path)
		one.set("route/cluster", cluster)
		one.extend(r.Server)
		two := document{root: clone(metadata)}
		two.set("match/prefix", two.at("match/prefix").Value+r.Path)
		two.extend(r.Server)
		d.adopt(one, two)
		nodes = append(nodes, one.root, two.root)
	}
	// The bare path belongs to a server only where there is no other.
	owner := ""
	if len(routes) == 1 {
		owner = routes[0].Server
	}
	bare := document{root: clone(metadata)}
	bare.extend(owner)
	d.adopt(bare)
	d.at(routesPath).Content = append(nodes, bare.root)
}

// upstream adds a cluster for the server at address and returns its name.
func (d *document) upstream(i int, address string) string {
	name := "mcp_server_" + strconv.Itoa(i)
	c := document{root: clone(d.at(clustersPath + "/name=mcp_server"))}
	c.set("name", name)
	c.set("load_assignment/cluster_name", name)
	d.adopt(c)
	clusters := d.at(clustersPath)
	clusters.Content = append(clusters.Content, c.root)
	d.point(name, address)
	return name
}

// extend binds the route in d to a server; "" binds it to none.
func (d *document) extend(server string) {
	if server == "" {
		d.remove("typed_per_filter_config")
		return
	}
	d.set("typed_per_filter_config/envoy.filters.http.ext_authz/check_settings/context_extensions",
		map[string]string{"cedargate.server": server})
}

// adopt takes over the errors of parts.
func (d *document) adopt(parts ...document) {
	for _, p := range parts {
		if d.err == nil {
			d.err = p.err
		}
	}
}
