// Package cedar holds the Cedar schema, which is the contract between the code
// that asks and the policies that answer, and the policy that is always there.
package cedar

import _ "embed"

// Schema is the text of cedar/schema.cedarschema. It describes every request
// that policies can see.
//
//go:embed schema.cedarschema
var Schema []byte

// Lifecycle is the text of the built-in policy cedargate:lifecycle.
//
//go:embed lifecycle.cedar
var Lifecycle []byte
