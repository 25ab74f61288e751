package token

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Workload is the workloads of one SPIFFE trust domain, or of one DNS domain:
// callers that need no token, since their TLS certificate says who they are. One
// of TrustDomain and DNSDomain is required.
type Workload struct {
	// Name begins the Cedar ids: spiffe://example.org/ns/batch/sa/nightly is
	// MCP::Agent::"<Name>/ns/batch/sa/nightly", and the DNS name
	// nightly.jobs.example.org MCP::Agent::"<Name>/nightly.jobs.example.org". No
	// issuer has it.
	Name        string
	TrustDomain string // example.org
	DNSDomain   string // jobs.example.org, itself and what is below it
	// Forwarded takes the identity from the last element of
	// x-forwarded-client-cert instead of the peer of the proxy.
	Forwarded bool
}

// trustDomain and idPath are those of the SPIFFE ID specification, §2.1, §2.2.
var (
	trustDomain = regexp.MustCompile(`^[a-z0-9._-]{1,255}$`)
	idPath      = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`)
	dnsName     = regexp.MustCompile(`^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+$`)
)

const maxDNSName = 253

const maxSPIFFEID = 2048

// addWorkloads checks workloads and adds them to v. names are those of issuers.
func (v *Verifier) addWorkloads(workloads []Workload, names map[string]bool) error {
	v.workloads = make(map[string]Workload, len(workloads))
	for _, w := range workloads {
		_, twice := v.workloads[w.TrustDomain]
		switch {
		case !issuerName.MatchString(w.Name):
			return fmt.Errorf("workload %q: the name does not match [a-z0-9-]+", w.Name)
		case names[w.Name] || w.Name == KeyIssuer && len(v.keys) > 0:
			return fmt.Errorf("workload %q: an issuer or a second one has that name", w.Name)
		case (w.TrustDomain == "") == (w.DNSDomain == ""):
			return fmt.Errorf("workload %q: has a trust domain or a DNS domain, one of them", w.Name)
		case w.DNSDomain != "":
			if err := v.addDNSDomain(w); err != nil {
				return fmt.Errorf("workload %q: %w", w.Name, err)
			}
			names[w.Name] = true
			continue
		case !trustDomain.MatchString(w.TrustDomain):
			return fmt.Errorf("workload %q: %q is no trust domain", w.Name, w.TrustDomain)
		case twice:
			return fmt.Errorf("workload %q: a second one of trust domain %q", w.Name, w.TrustDomain)
		}
		names[w.Name], v.workloads[w.TrustDomain] = true, w
	}
	return nil
}

func (v *Verifier) addDNSDomain(w Workload) error {
	switch {
	case !dnsName.MatchString(w.DNSDomain):
		return fmt.Errorf("%q is no DNS domain in lower case", w.DNSDomain)
	case w.Forwarded:
		return errors.New("DNS names are taken from the peer alone")
	}
	for _, other := range v.domains {
		if inDomain(w.DNSDomain, other.DNSDomain) || inDomain(other.DNSDomain, w.DNSDomain) {
			return fmt.Errorf("%q and %q overlap", w.DNSDomain, other.DNSDomain)
		}
	}
	v.domains = append(v.domains, w)
	return nil
}

// inDomain tells whether a name is a domain or below it.
func inDomain(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// withoutToken returns who asks where there is no token: a workload that the
// server lists, else anybody where it takes anybody.
func (v *Verifier) withoutToken(c Credential, accept Accept) (Claims, error) {
	if who, ok := v.workload(c.Peer, accept); ok {
		return who, nil
	}
	if accept.Anonymous {
		return Claims{Kind: Anonymous}, nil
	}
	return Claims{}, &Error{Fault: Missing, Reason: NoCredential}
}

// workload returns the workload that peer is, if the server lists it. A peer
// that is none of these is not at fault: people may come through a mesh.
func (v *Verifier) workload(peer Peer, accept Accept) (Claims, bool) {
	if len(accept.Workloads) == 0 {
		return Claims{}, false
	}
	if who, ok := v.identify(peer.Principal, false, accept); ok {
		return who, true
	}
	if who, ok := v.named(peer.Principal, accept); ok {
		return who, true
	}
	id, err := forwardedURI(peer.Forwarded)
	if err != nil {
		return Claims{}, false
	}
	return v.identify(id, true, accept)
}

// identify returns who has a SPIFFE ID.
func (v *Verifier) identify(id string, forwarded bool, accept Accept) (Claims, bool) {
	rest, ok := strings.CutPrefix(id, "spiffe://")
	domain, path, _ := strings.Cut(rest, "/")
	w, known := v.workloads[domain]
	if !ok || !known || w.Forwarded != forwarded || !slices.Contains(accept.Workloads, w.Name) {
		return Claims{}, false
	}
	if len(id) > maxSPIFFEID || !idPath.MatchString(path) || hasDotSegment(path) {
		return Claims{}, false
	}
	return Claims{Kind: Agent, Issuer: w.Name, Subject: path}, true
}

// named returns who has a DNS name. Envoy tells one of a certificate that it has
// verified and that has no URI, which would go before; a subject is none, since
// it has a "=", and neither is a wildcard.
func (v *Verifier) named(name string, accept Accept) (Claims, bool) {
	if len(name) > maxDNSName || !dnsName.MatchString(name) {
		return Claims{}, false
	}
	for _, w := range v.domains {
		if inDomain(name, w.DNSDomain) && slices.Contains(accept.Workloads, w.Name) {
			return Claims{Kind: Agent, Issuer: w.Name, Subject: name}, true
		}
	}
	return Claims{}, false
}

func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}

// forwardedURI returns the only URI of the last element of the header
// x-forwarded-client-cert, which the nearest proxy wrote. Elements are separated
// by commas, pairs by semicolons, and a value may be quoted. Elements before the
// last may be the caller's own, and must not reach into it.
func forwardedURI(lines []string) (string, error) {
	elements, err := splitQuoted(strings.Join(lines, ","), ',')
	if err != nil || len(elements) == 0 {
		return "", errors.New("x-forwarded-client-cert: absent, or with a quote where none can be")
	}
	pairs, err := splitQuoted(elements[len(elements)-1], ';')
	if err != nil {
		return "", err
	}
	uri, found := "", false
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "URI") {
			continue
		}
		if found {
			return "", errors.New("x-forwarded-client-cert: two URIs in one certificate")
		}
		uri, found = strings.Trim(value, `" `), true
	}
	return uri, nil
}

// splitQuoted cuts text at each sep that stands outside quotes. A quote begins a
// value and ends it: with one elsewhere, text that somebody else wrote before
// could turn inside out what is quoted.
func splitQuoted(text string, sep byte) (parts []string, err error) {
	start, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"' && quoted && i+1 < len(text) && text[i+1] != ',' && text[i+1] != ';':
			return nil, errors.New("a quote that ends inside a value")
		case c == '"' && !quoted && (i == 0 || text[i-1] != '='):
			return nil, errors.New("a quote that begins inside a value")
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	if quoted {
		return nil, errors.New("a quote that does not end")
	}
	return append(parts, text[start:]), nil
}
