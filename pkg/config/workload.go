package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cedargate/cedargate/pkg/token"
	cedargatev1 "github.com/cedargate/cedargate/proto/cedargate/v1"
)

// trustDomain is that of the SPIFFE ID specification, §2.1.
var trustDomain = regexp.MustCompile(`^[a-z0-9._-]{1,255}$`)

// workloads reads the workloads. Their names stand in Cedar ids beside those of
// issuers, and a trust domain is found without knowing the server.
func (r *reader) workloads(in []*cedargatev1.Workload, issuers []Issuer) []token.Workload {
	r.notEmpty("workloads", "names no workload")
	var names []string
	var workloads []token.Workload
	first := map[string]int{}
	for i, w := range in {
		path := index("workloads", i)
		names = append(names, w.GetName())
		if slices.ContainsFunc(issuers, func(i Issuer) bool { return w.GetName() != "" && i.Name == w.GetName() }) {
			r.refuse(path+".name", "is the name of an issuer too", "their ids in policies would be the same")
		}
		r.domain(path, w)
		if before, twice := first[w.GetTrustDomain()]; twice && w.GetTrustDomain() != "" {
			r.refuse(path+".trust_domain", fmt.Sprintf("is the trust domain of %s too", index("workloads", before)), "one identity is one principal")
		} else {
			first[w.GetTrustDomain()] = i
		}
		workloads = append(workloads, token.Workload{
			Name:        w.GetName(),
			TrustDomain: w.GetTrustDomain(),
			DNSDomain:   w.GetDnsDomain(),
			Forwarded:   r.oneOf(path+".from", w.GetFrom(), "peer", "xfcc") == 1,
		})
	}
	r.overlap(in)
	r.plainNames("workloads", names)
	return workloads
}

// dnsDomain is a name of at least two labels, in lower case.
var dnsDomain = regexp.MustCompile(`^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+$`)

// domain checks what a workload is known by: a trust domain or a DNS domain.
func (r *reader) domain(path string, w *cedargatev1.Workload) {
	switch dns := r.has(path + ".dns_domain"); {
	case !dns:
		r.trustDomain(path+".trust_domain", w.GetTrustDomain())
	case r.has(path + ".trust_domain"):
		r.refuse(path+".dns_domain", "stands beside trust_domain", "make two workloads of them")
	case w.GetDnsDomain() != "" && !dnsDomain.MatchString(w.GetDnsDomain()):
		r.refuse(path+".dns_domain", fmt.Sprintf("is %q, which is no DNS domain", w.GetDnsDomain()), "write it in small letters, without * and port")
	case w.GetFrom() == "xfcc":
		r.refuse(path+".from", "is xfcc, but DNS names are taken from the peer alone", "take it out")
	}
}

// overlap refuses DNS domains of which one is in the other.
func (r *reader) overlap(in []*cedargatev1.Workload) {
	for i, w := range in {
		for j, other := range in[:i] {
			a, b := "."+w.GetDnsDomain(), "."+other.GetDnsDomain()
			if a != "." && b != "." && (strings.HasSuffix(a, b) || strings.HasSuffix(b, a)) {
				r.refuse(index("workloads", i)+".dns_domain", fmt.Sprintf("overlaps with that of %s", index("workloads", j)), "one identity is one principal")
			}
		}
	}
}

func (r *reader) trustDomain(path, text string) {
	r.required(path)
	if text == "" || trustDomain.MatchString(text) {
		return
	}
	hint := "write it in small letters, without port"
	if rest, ok := strings.CutPrefix(text, "spiffe://"); ok {
		hint, _, _ = strings.Cut(rest, "/")
		hint = "write " + hint
	}
	r.refuse(path, fmt.Sprintf("is %q, which is no trust domain", text), hint)
}

// workloadsInUse looks at the workloads and who takes them: a server names
// workloads that exist and come from one place, and each is for a server.
func (r *reader) workloadsInUse(c *Config) {
	var known []string
	forwarded := map[string]bool{}
	for i, w := range c.Workloads {
		if w.Name == "" {
			continue // reported when it was read
		}
		known = append(known, w.Name)
		forwarded[w.Name] = w.Forwarded
		if w.Name == token.KeyIssuer && len(c.APIKeys) > 0 {
			r.refuse(index("workloads", i)+".name", fmt.Sprintf("is %q, which is the issuer of API keys in policies", token.KeyIssuer), "take another name")
		}
		if !slices.ContainsFunc(c.Servers, func(s Server) bool { return slices.Contains(s.Workloads, w.Name) }) {
			r.advise(index("workloads", i), fmt.Sprintf("no server lists the workload %q", w.Name), "add its name to workloads of a server")
		}
	}
	for i, s := range c.Servers {
		path := index("servers", i) + ".workloads"
		r.notEmpty(path, "names no workload")
		r.each(path, s.Workloads, func(name string) (message, hint string) {
			switch {
			case !slices.Contains(known, name):
				return fmt.Sprintf("unknown workload %q", name), suggestion(name, known)
			case forwarded[name] != forwarded[s.Workloads[0]]:
				return fmt.Sprintf("%q does not come from where %q comes from", name, s.Workloads[0]), "a caller would have two identities"
			}
			return "", ""
		})
	}
}

// bound reads what a server does with bound tokens.
func (r *reader) bound(path string, in *cedargatev1.Server, s *Server) {
	s.RequireDPoP = r.oneOf(path+".dpop", in.GetDpop(), "accept", "require") == 1
	s.DPoPNonce = in.GetDpopNonce()
	switch {
	case s.RequireDPoP && len(s.APIKeys) > 0:
		r.refuse(path+".dpop", "API keys are bound to nothing, and the server accepts some", "take api_keys out, or accept")
	case (s.RequireDPoP || s.DPoPNonce) && len(s.Issuers) == 0 && !r.has(path+".issuers"):
		at := path + ".dpop"
		if s.DPoPNonce {
			at = path + ".dpop_nonce"
		}
		r.refuse(at, "the server accepts no tokens", "list issuers, or take it out")
	}
}
