package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/resolved"

	schematext "github.com/cedargate/cedargate/cedar"
)

// The entity types of the schema that this package knows by name.
const (
	typeAction      = cedar.EntityType("MCP::Action")
	typeUser        = cedar.EntityType("MCP::User")
	typeAgent       = cedar.EntityType("MCP::Agent")
	typeAnonymous   = cedar.EntityType("MCP::Anonymous")
	typeGroup       = cedar.EntityType("MCP::Group")
	typeRole        = cedar.EntityType("MCP::Role")
	typeClient      = cedar.EntityType("MCP::Client")
	typeIssuer      = cedar.EntityType("MCP::Issuer")
	typeEnv         = cedar.EntityType("MCP::Env")
	typeServer      = cedar.EntityType("MCP::Server")
	typeToolset     = cedar.EntityType("MCP::Toolset")
	typeTool        = cedar.EntityType("MCP::Tool")
	typePrompt      = cedar.EntityType("MCP::Prompt")
	typeResource    = cedar.EntityType("MCP::Resource")
	typeResourceDir = cedar.EntityType("MCP::ResourceDir")
)

const toolsCall = "tools/call"

func actionUID(action string) cedar.EntityUID {
	return cedar.NewEntityUID(typeAction, cedar.String(action))
}

// parseSchema reads the embedded schema.
func parseSchema() (*resolved.Schema, error) {
	var s schema.Schema
	s.SetFilename("schema.cedarschema")
	if err := s.UnmarshalCedar(schematext.Schema); err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	r, err := s.Resolve()
	if err != nil {
		return nil, fmt.Errorf("resolving the schema: %w", err)
	}
	return r, nil
}

// withArguments returns a schema in which the arguments of tools/call have the
// type args. It shares the rest with s.
func withArguments(s *resolved.Schema, args resolved.RecordType) *resolved.Schema {
	action := s.Actions[actionUID(toolsCall)]
	applies := *action.AppliesTo
	applies.Context = maps.Clone(applies.Context)
	applies.Context["args"] = resolved.Attribute{Type: args}
	action.AppliesTo = &applies

	variant := *s
	variant.Actions = maps.Clone(s.Actions)
	variant.Actions[actionUID(toolsCall)] = action
	return &variant
}

// actionEntities returns the actions of s, each with all groups it is in.
func actionEntities(s *resolved.Schema) cedar.EntityMap {
	entities := make(cedar.EntityMap, len(s.Actions))
	for uid := range s.Actions {
		groups := slices.Collect(maps.Keys(actionGroups(s, uid)))
		entities[uid] = types.Entity{UID: uid, Parents: cedar.NewEntityUIDSet(groups...)}
	}
	return entities
}

// actionGroups returns all groups that contain uid.
func actionGroups(s *resolved.Schema, uid cedar.EntityUID) map[cedar.EntityUID]struct{} {
	groups := map[cedar.EntityUID]struct{}{}
	todo := []cedar.EntityUID{uid}
	for len(todo) > 0 {
		last := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for parent := range s.Actions[last].Entity.Parents.All() {
			if _, seen := groups[parent]; !seen {
				groups[parent] = struct{}{}
				todo = append(todo, parent)
			}
		}
	}
	return groups
}

// applies returns whom and what an action applies to; nil if nothing.
func (s *Set) applies(action string) *resolved.AppliesTo {
	if s.schema == nil {
		return nil
	}
	return s.schema.Actions[actionUID(action)].AppliesTo
}
