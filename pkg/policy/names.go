package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// checkNames looks at every entity that r names. A forbid that names nothing
// never fires, which is an error; a permit that does permits less than meant,
// which is advice.
func (l *loader) checkNames(r *rule) {
	for _, uid := range namedEntities(r.ast) {
		switch uid.Type {
		case typeResource, typeResourceDir:
			r.resources = append(r.resources, uid)
		}
		if message, hint := l.catalogue.means(uid); message != "" {
			if r.Forbid {
				l.problem(r, fmt.Sprintf("%s names nothing, so the forbid would never fire: %s", uid, message), hint)
			} else {
				l.advise(r, fmt.Sprintf("%s names nothing: %s", uid, message), hint)
			}
			continue
		}
		l.checkTool(r, uid)
		l.checkResource(r, uid)
	}
}

// namedEntities returns the entities in the scope and the conditions of p.
func namedEntities(p *ast.Policy) []cedar.EntityUID {
	var named []cedar.EntityUID
	seen := map[cedar.EntityUID]bool{}
	add := func(uid cedar.EntityUID) {
		if !seen[uid] {
			seen[uid] = true
			named = append(named, uid)
		}
	}
	for _, t := range []entityTest{newEntityTest(p.Principal), newEntityTest(p.Resource)} {
		if t.eq != nil {
			add(*t.eq)
		}
		if t.in != nil {
			add(*t.in)
		}
	}
	for _, c := range p.Conditions {
		ast.Inspect(ast.NewNode(c.Body), func(n ast.IsNode) bool {
			if v, ok := n.(ast.NodeValue); ok {
				if uid, ok := v.Value.(cedar.EntityUID); ok {
					add(uid)
				}
			}
			return true
		})
	}
	return named
}

// means says why uid names nothing; "" when it may name something.
func (cat *catalogue) means(uid cedar.EntityUID) (message, hint string) {
	id := string(uid.ID)
	owner, rest, _ := strings.Cut(id, "/")
	switch uid.Type {
	case typeIssuer:
		return cat.knownIssuer(id)
	case typeUser, typeAgent, typeGroup, typeRole, typeClient:
		if message, hint = cat.knownIssuer(owner); message != "" {
			return message, hint
		}
		if rest == "" {
			return "nothing stands behind the issuer", `the id is "<issuer>/<value>"`
		}
		return cat.claimsOf(uid.Type, owner)
	case typeServer:
		return cat.knownServer(id)
	case typeTool, typePrompt, typeResource, typeResourceDir:
		if message, hint = cat.knownServer(owner); message != "" {
			return message, hint
		}
		if rest == "" {
			return "nothing stands behind the server", `the id is "<server>/<name>"`
		}
		if uid.Type == typeResourceDir {
			return cat.knownDirectory(owner, rest)
		}
	case typeEnv:
		return cat.knownEnv(id)
	case typeToolset:
		return "no tool is in a toolset", ""
	case typeAnonymous:
		if id != "anonymous" {
			return "there is one anonymous caller", `write MCP::Anonymous::"anonymous"`
		}
	}
	return "", ""
}

func (cat *catalogue) knownIssuer(name string) (message, hint string) {
	if _, ok := cat.issuers[name]; ok {
		return "", ""
	}
	return fmt.Sprintf("no issuer %q is configured", name), "ids of people and groups begin with the configured name of their issuer"
}

func (cat *catalogue) claimsOf(t cedar.EntityType, issuer string) (message, hint string) {
	switch i := cat.issuers[issuer]; {
	case t == typeGroup && !i.Groups:
		return fmt.Sprintf("issuer %q has no groups_claims", issuer), "name the claims in groups_claims of the issuer"
	case t == typeRole && !i.Roles:
		return fmt.Sprintf("issuer %q has no roles_claims", issuer), "name the claims in roles_claims of the issuer"
	}
	return "", ""
}

func (cat *catalogue) knownServer(name string) (message, hint string) {
	if _, ok := cat.servers[name]; ok {
		return "", ""
	}
	return fmt.Sprintf("no server %q is configured", name), "ids of tools and resources begin with the configured name of their server"
}

func (cat *catalogue) knownEnv(name string) (message, hint string) {
	for _, s := range cat.servers {
		if slices.Contains(s.Environments, name) {
			return "", ""
		}
	}
	return "no server is in this environment", "name it in the environments of a server"
}

// knownDirectory leaves spellings that are not canonical to checkResource.
func (cat *catalogue) knownDirectory(server, uri string) (message, hint string) {
	s := cat.servers[server]
	if s.HasDirectory == nil || s.CanonicalURI == nil || s.HasDirectory(uri) {
		return "", ""
	}
	if one, err := s.CanonicalURI(uri); err != nil || one != uri || !strings.HasSuffix(uri, "/") {
		return "", ""
	}
	return "no resource is in this directory",
		"a directory reaches into the path, without userinfo, query, fragment and {…}; plain names have none"
}

// checkTool advises on a tool that the catalogue does not list.
func (l *loader) checkTool(r *rule, uid cedar.EntityUID) {
	if _, listed := l.catalogue.tools[uid]; uid.Type == typeTool && !listed {
		l.advise(r, fmt.Sprintf("the catalogue does not list %s", uid), "is the name spelled as the server spells it?")
	}
}

// checkResource refuses a resource that is not written in its one spelling:
// no request would ever name it.
func (l *loader) checkResource(r *rule, uid cedar.EntityUID) {
	if uid.Type != typeResource && uid.Type != typeResourceDir {
		return
	}
	server, uri, _ := strings.Cut(string(uid.ID), "/")
	if uid.Type == typeResourceDir && !strings.HasSuffix(uri, "/") {
		l.problem(r, fmt.Sprintf("%s does not end in /", uid), fmt.Sprintf(`write MCP::ResourceDir::"%s/"`, uid.ID))
		return
	}
	canonical := l.catalogue.servers[server].CanonicalURI
	if canonical == nil {
		return
	}
	switch one, err := canonical(uri); {
	case err != nil:
		l.problem(r, fmt.Sprintf("%s: no request can name %q: %v", uid, uri, err), "")
	case one != uri:
		l.problem(r, fmt.Sprintf("%s is not in canonical spelling", uid), fmt.Sprintf(`write "%s/%s"`, server, one))
	}
}
