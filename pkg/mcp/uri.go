package mcp

import (
	"net/netip"
	"strings"
)

// Limits of a URI, as it came and in its canonical spelling.
const (
	maxURI      = 8 << 10
	maxSegments = 64
)

// A refusal says why no single reading of a URI exists. It is a constant text.
type refusal struct {
	detail string
	limit  bool
}

// Error returns the constant text.
func (r *refusal) Error() string { return r.detail }

func refuse(detail string) *refusal { return &refusal{detail: detail} }

// CanonicalURI returns the one name of the resource that sent names, or an
// error that says why no single reading of it exists. It is idempotent: the
// canonical spelling is its own. Time and memory are linear in len(sent).
func CanonicalURI(sent string, rules Rules) (URI, error) {
	u, bad := canonical(sent, rules)
	if bad != nil {
		return URI{}, bad
	}
	return u, nil
}

// CanonicalTemplate is CanonicalURI for a URI template (RFC 6570), as the ref
// of completion/complete names one. Its expressions stay as they are; a text
// without any is a plain URI. No canonical spelling of a plain URI with a
// scheme contains "{", and every one of a template with an expression does.
func CanonicalTemplate(sent string, rules Rules) (URI, error) {
	u, bad := canonicalTemplate(sent, rules)
	if bad != nil {
		return URI{}, bad
	}
	return u, nil
}

func canonical(sent string, rules Rules) (URI, *refusal) {
	p, bad := spell(sent, rules, false)
	if bad != nil {
		return URI{}, bad
	}
	return URI{
		Canonical: p.String(), Sent: sent,
		Scheme: p.scheme, Host: p.host, Path: p.path, Dirs: p.dirs(),
	}, nil
}

// spell returns the parts of text in the canonical spelling. What is refused is
// refused both as it came and in that spelling: "%25%34%31" becomes "%2541",
// which has two readings.
func spell(text string, rules Rules, template bool) (parts, *refusal) {
	s := speller{rules: rules, template: template}
	first, bad := s.spell(text)
	if bad != nil {
		return parts{}, bad
	}
	return s.spell(first.String())
}

// parts are the components of a URI (RFC 3986 §3).
type parts struct {
	scheme               string // "" for a plain resource name
	authority            bool
	userinfo, host, port string // with the "@" and the ":" that set them off
	path                 string
	query, fragment      string // with "?" and "#"
}

// String puts the parts together.
func (p parts) String() string {
	return p.origin(p.userinfo) + p.path + p.query + p.fragment
}

// origin is what stands before the path.
func (p parts) origin(userinfo string) string {
	switch {
	case p.scheme == "":
		return ""
	case p.authority:
		return p.scheme + "://" + userinfo + p.host + p.port
	}
	return p.scheme + ":"
}

// dirs returns the prefixes that reach into the path and end in "/", without
// the userinfo: a forbid on a directory means it for every login.
func (p parts) dirs() []string {
	if p.scheme == "" {
		return nil
	}
	origin := p.origin("")
	whole := origin + p.path
	if variable := strings.IndexByte(whole, placeholder); variable >= 0 {
		whole = whole[:variable]
	} else if p.path == "" || whole[len(whole)-1] != '/' {
		whole += "/"
	}
	var dirs []string
	for i := len(origin); i < len(whole); i++ {
		if whole[i] == '/' {
			dirs = append(dirs, whole[:i+1])
		}
	}
	return dirs
}

// A speller reads the components of one URI and writes them anew.
type speller struct {
	rules    Rules
	template bool // placeholder stands for an expression
}

func (s speller) spell(text string) (parts, *refusal) {
	if len(text) > maxURI {
		return parts{}, &refusal{"URI longer than 8 KiB", true}
	}
	if bad := s.characters(text); bad != nil {
		return parts{}, bad
	}
	scheme, rest, ok := cutScheme(text)
	switch {
	case !ok && s.rules.ResourceNames:
		return s.name(text)
	case !ok:
		return parts{}, refuse("URI without a scheme")
	}
	p := parts{scheme: strings.ToLower(scheme)}
	p, rest, bad := s.tail(p, rest)
	if bad != nil {
		return parts{}, bad
	}
	rest, p.authority = strings.CutPrefix(rest, "//")
	authority := ""
	if p.authority {
		end := strings.IndexByte(rest, '/')
		if end < 0 {
			end = len(rest)
		}
		authority, rest = rest[:end], rest[end:]
	}
	if p, bad = s.authority(p, authority, rest); bad != nil {
		return parts{}, bad
	}
	if p.path, bad = s.path(p.scheme, rest); bad != nil {
		return parts{}, bad
	}
	if p.path == "" && web(p.scheme) {
		p.path = "/"
	}
	return p, nil
}

// name reads a text without a scheme, which the server says is a plain name.
func (s speller) name(text string) (parts, *refusal) {
	if strings.IndexByte(text, '%') >= 0 {
		return parts{}, refuse("resource name with %")
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(text, "/"), "/")
	if strings.Count(inner, "/") >= maxSegments {
		return parts{}, &refusal{"URI with more than 64 path segments", true}
	}
	for segment := range strings.SplitSeq(inner, "/") {
		if bad := checkSegment(segment); bad != nil {
			return parts{}, bad
		}
	}
	return parts{path: text}, nil
}

// cutScheme cuts the scheme and its colon (RFC 3986 §3.1).
func cutScheme(text string) (scheme, rest string, ok bool) {
	scheme, rest, ok = strings.Cut(text, ":")
	if !ok || scheme == "" || !letter(scheme[0]) {
		return "", "", false
	}
	for i := range len(scheme) {
		if c := scheme[i]; !letter(c) && !digit(c) && c != '+' && c != '-' && c != '.' {
			return "", "", false
		}
	}
	return scheme, rest, true
}

// web tells whether a scheme has a host by the rules of the web.
func web(scheme string) bool { return defaultPort(scheme) != "" }

func defaultPort(scheme string) string {
	switch scheme {
	case "http", "ws":
		return ":80"
	case "https", "wss":
		return ":443"
	}
	return ""
}

// tail cuts query and fragment from rest and writes them into p.
func (s speller) tail(p parts, rest string) (parts, string, *refusal) {
	rest, fragment, hasFragment := strings.Cut(rest, "#")
	rest, query, hasQuery := strings.Cut(rest, "?")
	switch file := p.scheme == "file"; {
	case hasFragment && (file || web(p.scheme)):
		return p, "", refuse("URI with a fragment")
	case hasQuery && file:
		return p, "", refuse("file URI with a query")
	}
	if hasQuery {
		p.query = "?" + s.writeQuery(query)
	}
	if hasFragment {
		p.fragment = "#" + s.writeQuery(fragment)
	}
	return p, rest, nil
}

// authority writes userinfo, host and port into p. path is what follows.
func (s speller) authority(p parts, text, path string) (parts, *refusal) {
	switch {
	case p.scheme == "file" && (!p.authority || text != "" || path == ""):
		return p, refuse("file URI that does not begin file:///")
	case web(p.scheme):
		return s.webAuthority(p, text)
	case text == "":
		return p, nil
	}
	for _, encoded := range []string{"%2f", "%2F", "%3a", "%3A", "%40"} {
		if strings.Contains(text, encoded) {
			return p, refuse("encoded delimiter in the authority")
		}
	}
	if user, rest, ok := strings.Cut(text, "@"); ok {
		switch {
		case user == "" || strings.Contains(user, ":") || strings.Contains(rest, "@"):
			return p, refuse("URI with a userinfo that is empty or has a password")
		case s.template:
			return p, refuse("URI template with a userinfo")
		}
		p.userinfo, text = s.writePath(user)+"@", rest
	}
	host, port := cutPort(text)
	if port != ":" && !digits(port[min(1, len(port)):]) {
		host, port = text, "" // a colon of another meaning
	}
	switch {
	case host == "" || host == "." || host == "..":
		return p, refuse("URI without a host")
	case port != "" && (port == ":" || port[1] == '0'):
		return p, refuse("port that is empty or has a leading zero")
	}
	p.host, p.port = s.writePath(host), port
	return p, nil
}

func (s speller) webAuthority(p parts, text string) (parts, *refusal) {
	if strings.IndexByte(text, '@') >= 0 {
		return p, refuse("URI with a userinfo")
	}
	host, port := lower(text), ""
	if bracket := strings.LastIndexByte(host, ']'); bracket >= 0 {
		host, port = host[:bracket+1], host[bracket+1:]
	} else {
		host, port = cutPort(host)
	}
	switch {
	case port == defaultPort(p.scheme):
		return p, refuse("URI with an explicit default port")
	case port != "" && !webPort(port):
		return p, refuse("bad port")
	case !s.webHost(host):
		return p, refuse("bad host")
	}
	p.host, p.port = host, port
	return p, nil
}

// cutPort cuts a port, with its colon, from the end of an authority.
func cutPort(text string) (host, port string) {
	if colon := strings.LastIndexByte(text, ':'); colon >= 0 {
		return text[:colon], text[colon:]
	}
	return text, ""
}

func webPort(port string) bool {
	if port[0] != ':' {
		return false
	}
	_, err := netip.ParseAddrPort("0.0.0.0" + port)
	return err == nil && digits(port[1:]) && port[1] != '0'
}

// webHost tells whether host is one that all parsers of the web read alike:
// some read "1.2.3", "0x7f.1" and "127.1" as addresses.
func (s speller) webHost(host string) bool {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		return closed && err == nil && ip.Is6() && ip.Zone() == "" && ip.String() == inner
	}
	for i := range len(host) {
		if c := host[i]; !letter(c) && !digit(c) && c != '-' && c != '.' && c != '_' && !s.variable(c) {
			return false
		}
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	switch {
	case last == "" || host[0] == '.' || strings.Contains(host, ".."):
		return false
	case digits(last) || strings.HasPrefix(last, "0x"):
		ip, err := netip.ParseAddr(host)
		return err == nil && ip.Is4()
	}
	return true
}

// path writes a path anew, segment by segment.
func (s speller) path(scheme, text string) (string, *refusal) {
	if text == "" || text == "/" {
		return text, nil
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(text, "/"), "/")
	if strings.Count(inner, "/") >= maxSegments {
		return "", &refusal{"URI with more than 64 path segments", true}
	}
	written := s.writePath(inner)
	for segment := range strings.SplitSeq(written, "/") {
		// A server that decodes sees the parts around %2F as segments.
		for part := range strings.SplitSeq(segment, "%2F") {
			if bad := checkSegment(part); bad != nil {
				return "", bad
			}
		}
	}
	switch file := scheme == "file"; {
	case strings.Contains(written, "%2F") && (file || !s.rules.EncodedSlash):
		return "", refuse("encoded slash in the path")
	case file && strings.Contains(written, "%7C"):
		return "", refuse("file URI with |")
	}
	if text[0] == '/' {
		written = "/" + written
	}
	if text[len(text)-1] == '/' {
		written += "/"
	}
	if scheme == "file" {
		written = upperDrive(written)
	}
	return written, nil
}

func checkSegment(segment string) *refusal {
	switch segment {
	case "":
		return refuse("empty path segment")
	case ".", "..":
		return refuse("dot segment")
	}
	return nil
}

// upperDrive writes the drive letter of a file path in upper case.
func upperDrive(path string) string {
	drive := len(path) >= 3 && letter(path[1]) && path[2] == ':' && (len(path) == 3 || path[3] == '/')
	if !drive {
		return path
	}
	return strings.ToUpper(path[:2]) + path[2:]
}
