package config

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/cedargate/cedargate/pkg/token"
	cedargatev1 "github.com/cedargate/cedargate/proto/cedargate/v1"
)

// defaultIntrospectionCache is how long an answer is used when nothing is
// written.
const defaultIntrospectionCache = time.Minute

// introspection reads how an issuer is asked about opaque tokens; nil if it is
// not.
func (r *reader) introspection(path string, in *cedargatev1.Introspection) *Introspection {
	secret, key := path+".client_secret_file", path+".private_key_file"
	at := secret
	if r.has(key) {
		at = key
	}
	r.askPlaces = append(r.askPlaces, r.spot(at))
	if in == nil {
		return nil
	}
	r.required(path + ".endpoint")
	r.required(path + ".client_id")
	switch {
	case r.has(secret) && r.has(key):
		r.refuse(key, "stands beside client_secret_file", "take one of them out")
	case !r.has(secret) && !r.has(key) && r.position(path).Kind == yaml.MappingNode:
		r.refuse(path, "has neither client_secret_file nor private_key_file", "give the one that the issuer knows this client by")
	}
	if u := r.webURL(path+".endpoint", in.GetEndpoint()); u != nil && u.plain() {
		r.refuse(path+".endpoint", "tokens would be sent over plain http", "use https")
	}
	return &Introspection{
		Endpoint: in.GetEndpoint(), ClientID: in.GetClientId(),
		SecretFile: in.GetClientSecretFile(), KeyFile: in.GetPrivateKeyFile(),
		Cache: r.duration(path+".cache", in.GetCache(), defaultIntrospectionCache, 0, token.MaxIntrospectionCache),
	}
}

// file is the one that has what proves who asks.
func (i *Introspection) file() string { return cmp.Or(i.KeyFile, i.SecretFile) }

// introspection makes what asks issuer n, nil if it is not asked. The error is a
// placed one.
func (c *Config) introspection(n int, ca []byte, p Parts) (*token.Introspection, error) {
	i := c.Issuers[n].Introspection
	if i == nil {
		return nil, nil
	}
	made := &token.Introspection{Endpoint: i.Endpoint, ClientID: i.ClientID, CA: ca, Cache: i.Cache}
	err := fmt.Errorf("%s is not read here", i.file())
	var text []byte
	if p.ReadFile != nil {
		text, err = p.ReadFile(i.file())
	}
	switch {
	case err != nil:
	case i.KeyFile != "":
		made.Key, err = token.ParseClientKey(text)
	default:
		if made.Secret = strings.TrimRight(string(text), " \t\r\n"); made.Secret == "" {
			err = errors.New("the file is empty")
		}
	}
	if err == nil {
		return made, nil
	}
	at := c.askPlaces[n]
	at.Message, at.Hint = err.Error(), "it is a file with a secret, relative to the configuration file"
	if i.KeyFile != "" {
		at.Hint = "it is a PEM file with a private key (RSA of 2048 bits, EC or Ed25519), not encrypted, relative to the configuration file"
	}
	return nil, placed{at}
}
