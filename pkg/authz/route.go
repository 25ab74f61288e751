package authz

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/cedargate/cedargate/pkg/mcp"
	"github.com/cedargate/cedargate/pkg/token"
)

const wellKnown = "/.well-known/"

// metadataPrefix is the well-known URI suffix of RFC 9728 §3.
const metadataPrefix = wellKnown + "oauth-protected-resource"

// A site is a Server with what is precomputed for its answers.
type site struct {
	Server
	fixed fixed // entities that every question shares

	// challenges are the WWW-Authenticate values by request path; the entry ""
	// is that of every other path.
	challenges map[string]challenge
}

// A challenge holds the WWW-Authenticate values of one server and spelling.
// They are made once, so that the same denial has the same bytes.
type challenge struct {
	missing string // 401 without a credential
	invalid string // 401 for a bad one
	request string // 400 for an unreadable one
}

// A document is a protected resource metadata document (RFC 9728 §3.2).
type document struct {
	site *site
	body []byte
}

// A place is what a request's host and path select. At most one field is set.
type place struct {
	site     *site
	document *document
}

// routes finds the place of a request by equality alone: nothing of a request
// is decoded, normalised or parsed as a URL (invariant 6).
type routes struct {
	named  map[string]map[string]place // server name → path → place
	hosted map[string]map[string]place // host → path → place
}

// newRoutes refuses two servers that claim one host and path.
func newRoutes(servers []Server) (routes, error) {
	r := routes{named: map[string]map[string]place{}, hosted: map[string]map[string]place{}}
	at := serversByHost(servers)
	for _, server := range servers {
		s, err := newSite(server)
		if err != nil {
			return routes{}, err
		}
		if _, dup := r.named[s.Name]; dup {
			return routes{}, fmt.Errorf("server %q is configured twice", s.Name)
		}
		own := s.places()
		r.named[s.Name] = own
		for _, host := range s.Hosts {
			if err := r.add(host, own, s.Name); err != nil {
				return routes{}, err
			}
		}
		r.addBare(s, at)
	}
	return r, nil
}

// addBare gives s the bare metadata path wherever it is the only server, so
// that there is no question whose document it is. at counts servers by host.
func (r routes) addBare(s *site, at map[string]int) {
	if len(s.AuthorizationServers) == 0 {
		return
	}
	bare, everywhere := s.document(s.Resource), true
	for _, host := range s.Hosts {
		if at[host] == 1 {
			setDefault(r.hosted[host], metadataPrefix, bare)
		} else {
			everywhere = false
		}
	}
	if everywhere {
		setDefault(r.named[s.Name], metadataPrefix, bare)
	}
}

func (r routes) add(host string, places map[string]place, name string) error {
	if r.hosted[host] == nil {
		r.hosted[host] = map[string]place{}
	}
	for path, p := range places {
		if _, taken := r.hosted[host][path]; taken {
			return fmt.Errorf("server %q: host %q and path %q belong to another server", name, host, path)
		}
		r.hosted[host][path] = p
	}
	return nil
}

// find returns where r goes; the zero place when nowhere. The query is cut at
// the first "?" by hand.
func (rs routes) find(r Request) place {
	path, _, _ := strings.Cut(r.Path, "?")
	places := rs.hosted[lowerASCII(r.Host)]
	if r.Named {
		places = rs.named[r.Server]
	}
	p := places[path]
	if p.document != nil && !isMetadataMethod(r.HTTP.Method) {
		return place{}
	}
	return p
}

func isMetadataMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// serversByHost counts the servers of each host.
func serversByHost(servers []Server) map[string]int {
	n := map[string]int{}
	for _, s := range servers {
		for _, host := range s.Hosts {
			n[host]++
		}
	}
	return n
}

func setDefault(places map[string]place, path string, p place) {
	if _, ok := places[path]; !ok {
		places[path] = p
	}
}

func newSite(server Server) (*site, error) {
	s := &site{Server: server, challenges: map[string]challenge{}}
	s.fixed = newFixed(server)
	configured, err := metadataURL(server.Resource)
	if err != nil {
		return nil, fmt.Errorf("server %q: %w", server.Name, err)
	}
	if len(server.AuthorizationServers) == 0 {
		s.challenges[""] = newChallenge(nil, "")
		return s, nil
	}
	s.challenges[""] = newChallenge(server.Scopes, configured)
	for _, spelling := range spellings(server.Resource) {
		at, err := metadataURL(spelling)
		if err != nil {
			return nil, fmt.Errorf("server %q: %w", server.Name, err)
		}
		if path := pathOf(spelling); path != "/" {
			s.challenges[path] = newChallenge(server.Scopes, at)
		}
	}
	return s, nil
}

// places are the paths of s: its own, and those of its metadata documents.
func (s *site) places() map[string]place {
	places := map[string]place{}
	for _, path := range s.Paths {
		places[path] = place{site: s}
	}
	if len(s.AuthorizationServers) == 0 {
		return places // nowhere to get a token from
	}
	for _, spelling := range spellings(s.Resource) {
		if path := pathOf(spelling); path != "/" {
			places[metadataPrefix+path] = s.document(spelling)
		}
	}
	for _, path := range append([]string{pathOf(s.Resource)}, s.Paths...) {
		setDefault(places, metadataPrefix+path, s.document(s.Resource))
		if path == "/" {
			setDefault(places, metadataPrefix, s.document(s.Resource))
		}
	}
	return places
}

func (s *site) document(resource string) place {
	return place{document: &document{site: s, body: metadata(s.Server, resource)}}
}

// metadata is the document of RFC 9728 §3.2; the order of members is fixed.
func metadata(s Server, resource string) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	err := enc.Encode(struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
		Scopes   []string `json:"scopes_supported,omitempty"`
		Methods  []string `json:"bearer_methods_supported"`
		Proofs   []string `json:"dpop_signing_alg_values_supported"` // RFC 9728 §2
		Bound    bool     `json:"dpop_bound_access_tokens_required,omitempty"`
	}{resource, s.AuthorizationServers, s.Scopes, []string{"header"}, token.ProofAlgorithms(), s.RequireDPoP})
	if err != nil {
		panic(err) // strings alone cannot fail
	}
	return bytes.TrimSpace(out.Bytes())
}

// spellings returns a resource as configured, and its other spelling, with or
// without one final slash: URL libraries add and drop it.
func spellings(resource string) [2]string {
	if bare, ok := strings.CutSuffix(resource, "/"); ok {
		return [2]string{resource, bare}
	}
	return [2]string{resource, resource + "/"}
}

// metadataURL inserts the well-known path between origin and path (RFC 9728
// §3.1). It is computed from the configuration alone, never from a request.
func metadataURL(resource string) (string, error) {
	u, err := url.Parse(resource)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return "", fmt.Errorf("resource %q is not an absolute URL", resource)
	}
	if strings.ContainsAny(resource, `"\`) {
		return "", fmt.Errorf("resource %q cannot be quoted in a challenge", resource)
	}
	path := pathOf(resource) // as written: url.URL may write it longer
	origin := strings.TrimSuffix(resource, path)
	if path == "/" {
		path = ""
	}
	return origin + metadataPrefix + path, nil
}

// pathOf is the path of a resource as it was written; "/" when it has none.
func pathOf(resource string) string {
	_, rest, _ := strings.Cut(resource, "://")
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return "/"
}

// challengeFor is the challenge for the spelling that the request used.
func (s *site) challengeFor(r Request) challenge {
	path, _, _ := strings.Cut(r.Path, "?")
	if c, ok := s.challenges[path]; ok {
		return c
	}
	return s.challenges[""]
}

// newChallenge writes the parameters in the order that every SDK's parser
// reads: error, scope, resource_metadata, error_description; none empty. at is
// the URL of the metadata document; "" means that there is none.
func newChallenge(scopes []string, at string) challenge {
	var params []string
	if len(scopes) > 0 {
		params = append(params, `scope="`+strings.Join(scopes, " ")+`"`)
	}
	if at != "" {
		params = append(params, `resource_metadata="`+at+`"`)
	}
	with := func(before, after []string) string {
		return strings.TrimSuffix("Bearer "+strings.Join(slices.Concat(before, params, after), ", "), " ")
	}
	return challenge{
		missing: with(nil, nil),
		invalid: with([]string{`error="invalid_token"`}, []string{`error_description="the access token is not valid here"`}),
		request: with([]string{`error="invalid_request"`}, []string{`error_description="the credential cannot be read"`}),
	}
}

// lowerASCII lowers A to Z and nothing else: no other character of a host may
// become one that is configured.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// header looks a client's header up; "" when it is absent or there are two.
func header(h mcp.HTTP, name string) string {
	values := headers(h, name)
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

func headers(h mcp.HTTP, name string) []string {
	var values []string
	for _, f := range h.Header {
		if f.Name == name {
			values = append(values, f.Value)
		}
	}
	return values
}
