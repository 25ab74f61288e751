package token

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// maxParents bounds the parent paths of one group.
const maxParents = 32

// believe completes r.claims with what only a verified token may say.
func (r *reading) believe(raw string) {
	c := &r.claims
	c.Client = r.client()
	c.Kind = User
	if r.isAgent() {
		c.Kind = Agent
	}
	c.ID = r.id(raw)
	c.Scopes = r.scopes()
	c.Groups = nested(r.values(r.issuer.GroupsClaims, true), r.issuer.GroupParents)
	c.Roles = nested(r.values(r.issuer.RolesClaims, false), r.issuer.RoleParents)
	r.noteAbsent()
	if r.emailVerified() {
		c.Email = r.optional("email")
	}
	c.ACR = r.optional("acr")
	var ok bool
	if c.AMR, ok = stringList(r.claim("amr")); !ok {
		r.unreadable("amr")
	}
	if c.AuthTime, ok = instant(r.claim("auth_time")); !ok {
		r.unreadable("auth_time")
	}
	c.Tags = r.tags()
}

// noteAbsent notes the claims with groups and roles that the token does not
// state. An actor has nothing but an issuer and a subject.
func (r *reading) noteAbsent() {
	c := &r.claims
	if kind := r.payload.Get("_claim_names").Kind(); kind != strictjson.Absent && kind != strictjson.Object {
		r.unreadable("_claim_names")
	}
	c.AbsentGroups = r.absent(r.issuer.GroupsClaims, true)
	c.AbsentRoles = r.absent(r.issuer.RolesClaims, false)
	if of := r.actorIssuer; of != nil && !of.AbsentIsNone {
		c.Actor.AbsentGroups, c.Actor.AbsentRoles = slices.Clone(of.GroupsClaims), slices.Clone(of.RolesClaims)
	}
}

// unreadable notes a claim that policies would read and that has no one
// reading: left out silently, it could let a forbid sleep.
func (r *reading) unreadable(name string) {
	if !slices.Contains(r.claims.Unreadable, name) {
		r.claims.Unreadable = append(r.claims.Unreadable, name)
	}
}

// claim returns a claim; null counts as absent.
func (r *reading) claim(name string) strictjson.Value {
	v := r.payload.Get(name)
	if v.Kind() == strictjson.Null {
		return strictjson.Value{}
	}
	return v
}

// optional returns a claim that is a string; "" if it is absent.
func (r *reading) optional(name string) string {
	v := r.claim(name)
	if v.Kind() != strictjson.Absent && v.Kind() != strictjson.String {
		r.unreadable(name)
	}
	return v.Text()
}

func (r *reading) emailVerified() bool { return r.payload.Get("email_verified").True() }

// client returns the OAuth client id: that of the first of the issuer's claims
// that is a string and not empty.
func (r *reading) client() string {
	for _, name := range r.issuer.ClientClaims {
		if v, _ := r.find(name); v.Text() != "" {
			return v.Text()
		}
	}
	return ""
}

// id returns jti, or a hash of the token raw. Some providers take an opaque token,
// with or without a prefix, for its jti too: records have no token.
func (r *reading) id(raw string) string {
	jti := r.payload.Get("jti").Text()
	betrays := strings.Contains(jti, raw) || 2*len(jti) >= len(raw) && strings.Contains(raw, jti)
	if jti != "" && !betrays {
		return jti
	}
	sum := sha256.Sum256([]byte(raw))
	return "sha256:" + hex.EncodeToString(sum[:8])
}

// scopes reads the first of the issuer's claims with scopes that is there, a
// string separated by blanks (RFC 8693 §4.2) or an array.
func (r *reading) scopes() []string {
	for _, name := range r.issuer.ScopesClaims {
		v, ok := r.find(name)
		switch {
		case ok && v.Kind() == strictjson.Absent:
			continue
		case v.Kind() == strictjson.String:
			return strings.FieldsFunc(v.Text(), func(c rune) bool { return c == ' ' })
		}
		scopes, isList := stringList(v)
		if !ok || !isList {
			r.unreadable(name)
		}
		return scopes
	}
	return nil
}

// stringList returns a string as one value, an array of strings as its
// elements, and nothing for what is absent.
func stringList(v strictjson.Value) ([]string, bool) {
	switch v.Kind() {
	case strictjson.Absent:
		return nil, true
	case strictjson.String:
		return []string{v.Text()}, true
	case strictjson.Array:
	default:
		return nil, false
	}
	var list []string
	for element := range v.Elements() {
		if element.Kind() != strictjson.String {
			return nil, false
		}
		list = append(list, element.Text())
	}
	return list, true
}

// values returns the values of the claims with these names, in order, each
// once; with the parents of paths if parents is true.
func (r *reading) values(names []string, parents bool) []string {
	var all []string
	seen := map[string]bool{}
	add := func(value string) {
		if !seen[value] {
			seen[value] = true
			all = append(all, value)
		}
	}
	for _, name := range names {
		list, ok := r.list(name)
		for _, value := range list {
			add(value)
			if !parents {
				continue
			}
			above, few := parentPaths(value)
			for _, parent := range above {
				add(parent)
			}
			ok = ok && few
		}
		if !ok {
			r.unreadable(name)
		}
	}
	return all
}

// nested returns names and all that they are in by the operator's hierarchy,
// directly or not, each once.
func nested(names []string, parents map[string][]string) []string {
	for i := 0; i < len(names) && len(parents) > 0; i++ {
		for _, parent := range parents[names[i]] {
			if !slices.Contains(names, parent) {
				names = append(names, parent)
			}
		}
	}
	return names
}

// parentPaths returns the paths above one like "/eng/platform", and false if
// there are too many.
func parentPaths(path string) (above []string, ok bool) {
	if !strings.HasPrefix(path, "/") {
		return nil, true
	}
	if strings.Count(path, "/") > maxParents {
		return nil, false
	}
	for end := strings.LastIndexByte(path, '/'); end > 0; end = strings.LastIndexByte(path, '/') {
		path = path[:end]
		above = append(above, path)
	}
	return above, true
}

// list returns the values of a claim that find finds.
func (r *reading) list(name string) ([]string, bool) {
	v, ok := r.find(name)
	if !ok || v.Kind() == strictjson.Absent {
		return nil, ok
	}
	return memberNames(v)
}

// find returns the claim that is literally so named, else the one at the path
// that name is when cut at its dots. A path that is blocked by something
// without members is not taken for an absent one: ok is false.
func (r *reading) find(name string) (v strictjson.Value, ok bool) {
	if v = r.payload.Get(name); v.Kind() != strictjson.Absent {
		return v, true
	}
	v = r.payload
	for step := range strings.SplitSeq(name, ".") {
		switch v.Kind() {
		case strictjson.Object:
			v = v.Get(step)
		case strictjson.Absent, strictjson.Null:
			return strictjson.Value{}, true
		default:
			return strictjson.Value{}, false
		}
	}
	return v, true
}

// memberNames returns a string as one value, an array of strings as its
// elements, an object as the names of its members, and nothing for null. A
// member that is false or null would say that its name is none of the values.
func memberNames(v strictjson.Value) ([]string, bool) {
	switch v.Kind() {
	case strictjson.Null:
		return nil, true
	case strictjson.Object:
	default:
		return stringList(v)
	}
	var names []string
	for _, m := range v.Members() {
		kind := m.Value.Kind()
		if kind == strictjson.Null || kind == strictjson.Bool && !m.Value.True() {
			return nil, false
		}
		names = append(names, m.Name)
	}
	return names, true
}
