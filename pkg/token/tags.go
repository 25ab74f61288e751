package token

import "github.com/cedargate/cedargate/pkg/internal/strictjson"

// maxTagName bounds the dotted name of a tag, and with it the memory that names
// nested in long names can cost.
const maxTagName = 512

// tags returns all claims, each as a set of strings: a string as it is, a
// number as it was written, true and false; an array as its elements, a member
// of an object under the names on the way to it, joined by dots. null says
// nothing. A claim with the literal name goes before a nested one.
//
// An email that the issuer has not verified is left out: whoever may choose it
// would choose what a policy asks for.
func (r *reading) tags() map[string][]string {
	members := r.payload.Members()
	t := tagger{tags: make(map[string][]string, len(members)), literal: make(map[string]bool, len(members))}
	for _, m := range members {
		t.literal[m.Name] = true
	}
	for _, m := range members {
		if m.Name == "email" && !r.emailVerified() {
			continue
		}
		if !t.add(m.Name, m.Value) {
			r.unreadable(m.Name)
		}
	}
	return t.tags
}

// A tagger collects tags. literal has the names of the claims.
type tagger struct {
	tags    map[string][]string
	literal map[string]bool
}

// add adds v under name. It tells whether no name was too long. The depth of v
// is bounded by the limits it was read with.
func (t tagger) add(name string, v strictjson.Value) bool {
	if len(name) > maxTagName {
		return false
	}
	ok := true
	switch v.Kind() {
	case strictjson.String:
		t.tags[name] = append(t.tags[name], v.Text())
	case strictjson.Number, strictjson.Bool:
		t.tags[name] = append(t.tags[name], string(v.Raw()))
	case strictjson.Array:
		if t.tags[name] == nil {
			t.tags[name] = []string{} // an empty array is an empty set
		}
		for element := range v.Elements() {
			ok = t.add(name, element) && ok
		}
	case strictjson.Object:
		for _, m := range v.Members() {
			nested := name + "." + m.Name
			if !t.literal[nested] {
				ok = t.add(nested, m.Value) && ok
			}
		}
	}
	return ok
}
