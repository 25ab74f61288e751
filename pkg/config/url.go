package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// A webURL is an absolute URL of scheme http or https.
type webURL struct {
	*url.URL
	text string
}

// plain tells whether what is sent there can be read on the way: http to
// another machine.
func (u *webURL) plain() bool { return u.Scheme == "http" && !loopback(u.Hostname()) }

// path is the path as it was written, "/" where there is none.
func (u *webURL) path() string {
	_, rest, _ := strings.Cut(u.text, "://")
	if i := strings.IndexAny(rest, "/?"); i >= 0 && rest[i] == '/' {
		path, _, _ := strings.Cut(rest[i:], "?")
		return path
	}
	return "/"
}

// spelling is the URL as clients write it: scheme and host in lower case,
// without the scheme's default port.
func (u *webURL) spelling() string {
	_, rest, _ := strings.Cut(u.text, "://")
	rest = rest[len(u.Host):]
	return u.Scheme + "://" + hosts(u.Host, u.Scheme)[0] + rest
}

// webURL reads text. It reports what is wrong with it, and is nil then or when
// text is empty.
func (r *reader) webURL(path, text string) *webURL {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	var message, hint string
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		message = fmt.Sprintf("is %q, want an absolute http or https URL", text)
	case strings.ContainsFunc(text, notInURL):
		message = "contains characters that a URL cannot have"
		hint = "percent-encode them, and write the host in its ASCII form"
	case u.User != nil:
		message = "contains a user name or password"
	case strings.Contains(text, "#"):
		message = "contains a fragment"
	default:
		if message, _ = hostProblem(u.Host); message == "" {
			return &webURL{URL: u, text: text}
		}
	}
	r.refuse(path, message, hint)
	return nil
}

// notInURL tells whether c has no place in a URL (RFC 3986 §2): some clients
// encode it, which makes it another identifier, and a quote would end the
// challenge that a resource stands in.
func notInURL(c rune) bool {
	return c <= ' ' || c > '~' || strings.ContainsRune("\"<>\\^`{|}", c)
}

// noQuery reports a query.
func (r *reader) noQuery(path string, u *webURL) {
	if strings.Contains(u.text, "?") {
		r.refuse(path, "contains a query", "")
	}
}

var hostName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?$`)

// hostProblem says what is wrong with a host, which may have a port.
func hostProblem(host string) (message, hint string) {
	if strings.HasPrefix(host, "*") {
		return fmt.Sprintf("%q is a pattern, hosts are compared whole", host), "list each host"
	}
	if strings.Contains(host, "/") || strings.HasSuffix(host, ":") {
		return fmt.Sprintf("%q is not a host", host), "write name or name:port, without scheme and path"
	}
	name, port := splitHost(strings.ToLower(host))
	if _, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || port[0] == '0') {
		return fmt.Sprintf("the port of %q is not from 1 to 65535", host), ""
	}
	if address, ok := strings.CutPrefix(name, "["); ok {
		address, ok = strings.CutSuffix(address, "]")
		addr, err := netip.ParseAddr(address)
		ok = ok && err == nil && addr.Is6() && addr.Zone() == "" && addr.String() == address
		if !ok {
			return fmt.Sprintf("%q is not an IPv6 address as RFC 5952 writes it", host), ""
		}
		return "", ""
	}
	if !hostName.MatchString(name) {
		return fmt.Sprintf("%q is not a host", host), "write it in ASCII, without a final dot"
	}
	return "", ""
}

// splitHost cuts the port off.
func splitHost(host string) (name, port string) {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.HasSuffix(host, "]") {
		return host, ""
	}
	return host[:i], host[i+1:]
}

// hosts gives what a Host header may say for host: in lower case and, where
// its port is the default one of scheme, without and with it.
func hosts(host, scheme string) []string {
	host = strings.ToLower(host)
	standard := map[string]string{"http": "80", "https": "443"}[scheme]
	if name, port := splitHost(host); port == "" || port == standard {
		return []string{name, name + ":" + standard}
	}
	return []string{host}
}

// encodedDot is a dot to WHATWG URL parsers.
var encodedDot = regexp.MustCompile(`%2[eE]`)

// pathProblem says why no request could have path, or why what passes requests
// on may see another one.
func pathProblem(path string) (message, hint string) {
	for _, segment := range strings.Split(path, "/") {
		if segment = encodedDot.ReplaceAllString(segment, "."); segment == "." || segment == ".." {
			return "contains a dot segment, which clients and proxies resolve", ""
		}
	}
	switch {
	case path == "" || path[0] != '/':
		return fmt.Sprintf("is %q, want a path", path), "begin it with /"
	case strings.ContainsAny(path, "?#"):
		return "contains ? or #; the query of a request is not looked at", "end it before"
	case strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c > '~' || c == '\\' }):
		return "contains characters that are to be percent-encoded", ""
	case strings.Contains(path, "//"):
		return "contains an empty segment, which proxies merge", ""
	case path == "/.well-known" || strings.HasPrefix(path, "/.well-known/"):
		return "lies below /.well-known/, which is kept for metadata", ""
	}
	return "", ""
}

// otherSlash is the other spelling of a path or URL: with one final slash, or
// without it.
func otherSlash(s string) string {
	if short, ok := strings.CutSuffix(s, "/"); ok {
		return short
	}
	return s + "/"
}
