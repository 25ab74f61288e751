package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cedargate/cedargate/pkg/token"
	cedargatev1 "github.com/cedargate/cedargate/proto/cedargate/v1"
)

// apiKey finds API keys, and what is left of them. A key may stand in a file
// where its name or hash belongs, and be in use: problems, which many can read,
// do not repeat it.
var apiKey = regexp.MustCompile(`cgk_[A-Z2-7]+`)

// apiKeys reads the API keys.
func (r *reader) apiKeys(in []*cedargatev1.APIKey) []token.APIKey {
	r.notEmpty("api_keys", "names no key")
	var names []string
	first := map[token.KeyHash]int{}
	var keys []token.APIKey
	for i, k := range in {
		path := index("api_keys", i)
		names = append(names, k.GetName())
		r.each(path+".groups", k.GetGroups(), anything)
		key := token.APIKey{
			Name: k.GetName(), Hash: r.keyHash(path+".hash", k.GetHash()),
			Groups: k.GetGroups(), Expires: r.moment(path+".expires", k.GetExpires()),
		}
		if before, twice := first[key.Hash]; twice && key.Hash != (token.KeyHash{}) {
			r.refuse(path+".hash", fmt.Sprintf("is the hash of %s too", index("api_keys", before)), "each caller has a key of its own")
		} else {
			first[key.Hash] = i
		}
		keys = append(keys, key)
	}
	r.plainNames("api_keys", names)
	return keys
}

// keyHash reads the hash of a key. What stands there may be the key itself: it
// is never repeated.
func (r *reader) keyHash(path, text string) token.KeyHash {
	r.required(path)
	if text == "" {
		return token.KeyHash{}
	}
	hash, err := token.ParseKeyHash(text)
	switch {
	case token.IsAPIKey(text):
		r.refuse(path, "is a key itself, which is no secret any more", "make another: cedargate apikey create prints a key and its hash")
	case err != nil || hash == (token.KeyHash{}):
		r.refuse(path, "is not the hash of a key: sha256: and 64 hex digits in lower case", "cedargate apikey create prints it")
	}
	return hash
}

// moment reads a time, RFC 3339; zero if there is none.
func (r *reader) moment(path, text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.IsZero() {
		r.refuse(path, fmt.Sprintf("is %q, want a time with its zone", text), "write 2027-01-31T00:00:00Z")
	}
	return at
}

// keysInUse looks at the keys and who takes them: a server names keys that
// exist, each key is for a server, and no issuer has their name.
func (r *reader) keysInUse(c *Config) {
	var names []string
	for _, k := range c.APIKeys {
		names = append(names, k.Name)
	}
	known := slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(names))), func(name string) bool { return name == "" })
	listed := map[string]bool{}
	for i, s := range c.Servers {
		path := index("servers", i) + ".api_keys"
		r.notEmpty(path, "names no key")
		r.each(path, s.APIKeys, func(name string) (message, hint string) {
			listed[name] = true
			if !slices.Contains(known, name) {
				return fmt.Sprintf("unknown API key %q", name), suggestion(name, known)
			}
			return "", ""
		})
		if len(s.APIKeys) > 0 && len(s.Issuers) == 0 && len(s.Scopes) > 0 {
			r.advise(index("servers", i)+".scopes_supported", "no client is told: without issuers there is nobody to ask for scopes", "take it out")
		}
	}
	for i, name := range names {
		if name != "" && !listed[name] {
			r.advise(index("api_keys", i), fmt.Sprintf("no server lists the key %q", name), "add its name to api_keys of a server")
		}
	}
	i := slices.IndexFunc(c.Issuers, func(i Issuer) bool { return i.Name == token.KeyIssuer })
	if i >= 0 && len(names) > 0 {
		r.refuse(index("issuers", i)+".name", fmt.Sprintf("is %q, which is the issuer of API keys in policies", token.KeyIssuer), "take another name")
	}
}

var headerName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// keyHeader reads the header for API keys. It is removed from what is allowed,
// so it can be none that means something to the server or to a proxy.
func (r *reader) keyHeader(path string, in *cedargatev1.Server) string {
	name, path := in.GetApiKeyHeader(), path+".api_key_header"
	if name == "" {
		return ""
	}
	taken := []string{
		"accept", "authorization", "connection", "content-encoding", "content-length", "content-type", "cookie", "date",
		"expect", "host", "last-event-id", "origin", "referer", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "via",
	}
	prefixes := []string{"mcp-", "proxy-", "sec-", "x-cedargate-", "x-envoy-", "x-forwarded-"}
	owned := slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	switch {
	case !headerName.MatchString(name):
		r.refuse(path, fmt.Sprintf("is %q, want the name of a header: small letters, digits and -", name), "write x-api-key")
	case owned || slices.Contains(taken, name):
		r.refuse(path, fmt.Sprintf("is %q, which has another meaning", name), "write x-api-key")
	case len(in.GetApiKeys()) == 0:
		r.refuse(path, "the server accepts no API keys", "list their names in api_keys")
	}
	return name
}
