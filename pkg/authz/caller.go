package authz

import (
	"github.com/cedar-policy/cedar-go"

	"github.com/cedargate/cedargate/pkg/token"
)

// Caller gives the principal that policies see for who, and the entities that
// come with it: the principal with its attributes and tags, and those it is in.
func Caller(who token.Claims) (principal cedar.EntityUID, entities cedar.EntityMap) {
	q := question{entities: cedar.EntityMap{}}
	principal = q.addCaller(who)
	return principal, q.entities
}
