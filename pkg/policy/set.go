package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"

	schematext "github.com/cedargate/cedargate/cedar"
)

// A Set is an immutable set of validated policies, safe for concurrent use.
// The zero Set permits nothing.
type Set struct {
	schema  *resolved.Schema
	actions cedar.EntityMap
	tools   map[cedar.EntityUID]*catalogueTool
	refuse  map[string]bool // servers that refuse undeclared arguments
	// rules has, for each action, the rules that can match it, sorted by id.
	rules map[string][]*rule
	infos []Info
	hash  string
}

func newSet(l *loader) *Set {
	s := &Set{
		schema:  l.schema,
		actions: l.actions,
		tools:   l.catalogue.tools,
		refuse:  map[string]bool{},
		rules:   map[string][]*rule{},
		hash:    hashOf(l.config),
	}
	for _, t := range l.catalogue.ordered {
		t.at(nil) // the names at the first level, which undeclared arguments are compared with
	}
	for _, server := range l.config.Servers {
		s.refuse[server.Name] = server.RefuseUndeclared
	}
	for _, r := range l.rules {
		s.infos = append(s.infos, r.Info)
		for action := range r.scope.actions {
			s.rules[action] = append(s.rules[action], r)
		}
	}
	for _, rules := range s.rules {
		slices.SortFunc(rules, func(a, b *rule) int { return cmp.Compare(a.ID, b.ID) })
	}
	slices.SortFunc(s.infos, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return s
}

// Policies describes all policies of the Set, in the order of files and lines,
// the built-in one first.
func (s *Set) Policies() []Info { return slices.Clone(s.infos) }

// Hash is the hash of what the Set was made from: files, schema, servers with
// their catalogue, issuers and settings. It has 12 hex digits; "" for the zero
// Set.
func (s *Set) Hash() string { return s.hash }

// hashOf hashes c. The files count in the order of their names, servers and
// issuers as they stand.
func hashOf(c Config) string {
	files := slices.SortedFunc(slices.Values(c.Files), func(a, b File) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), slices.Compare(a.Text, b.Text))
	})
	h := sha256.New()
	part := func(text []byte) {
		fmt.Fprintf(h, "%d:", len(text))
		h.Write(text)
	}
	part(schematext.Schema)
	part(fmt.Appendf(nil, "%t %t %+v", c.OmitBuiltin, c.TrustedHops, c.Issuers))
	for _, f := range files {
		part([]byte(f.Name))
		part(f.Text)
	}
	for _, s := range c.Servers {
		part(fmt.Appendf(nil, "%q %q %t", s.Name, s.Environments, s.RefuseUndeclared))
		for _, t := range s.Tools {
			part(fmt.Appendf(nil, "%q %t %t %t %t", t.Name, t.ReadOnly, t.Destructive, t.Idempotent, t.OpenWorld))
			part(t.InputSchema)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// Validate tells whether r is a question that the schema knows: its action,
// the types of principal and resource, the context, and every entity with its
// attributes, tags and parents. Decide does not need it; tests of whoever
// makes Requests do.
func (s *Set) Validate(r Request) error {
	if s.schema == nil {
		return fmt.Errorf("the zero set knows no request")
	}
	checker := validate.New(s.schema)
	context := cedar.NewRecord(withArgs(r, cedar.Record{}))
	question := cedar.Request{Principal: r.Principal, Action: actionUID(r.Action), Resource: r.Resource, Context: context}
	if err := checker.Request(question); err != nil {
		return err
	}
	if err := s.malformed(r); err != nil {
		return err
	}
	for uid, entity := range r.Entities {
		if uid.Type == typeAnonymous && uid.ID != "anonymous" { // cedar-go does not check enumerated ids
			return fmt.Errorf("entity %s: there is one anonymous caller", uid)
		}
		if uid != entity.UID {
			return fmt.Errorf("entity %s is filed under %s", entity.UID, uid)
		}
		if err := checker.Entity(entity); err != nil {
			return fmt.Errorf("entity %s: %w", uid, err)
		}
		for parent := range entity.Parents.All() {
			if _, ok := r.Entities[parent]; !ok && parent.Type != typeResourceDir {
				return fmt.Errorf("entity %s has a parent %s that is not there", uid, parent)
			}
		}
	}
	return nil
}
