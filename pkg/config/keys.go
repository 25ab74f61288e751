package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	cedargatev1 "github.com/cedargate/cedargate/proto/cedargate/v1"
)

// The bounds of max_stale, and what it is when it is not written.
const (
	minMaxStale     = time.Minute
	maxMaxStale     = 7 * 24 * time.Hour
	defaultMaxStale = 24 * time.Hour
)

// keys reads how the keys of an issuer are fetched, but for where they are.
func (r *reader) keys(path string, in *cedargatev1.Issuer, i *Issuer) {
	i.MaxStale = r.duration(path+".max_stale", in.GetMaxStale(), defaultMaxStale, minMaxStale, maxMaxStale)
	i.CAFile = in.GetCaFile()
	i.InsecureHTTP = in.GetInsecureHttp()
	i.Required = orTrue(in.Required)
	if i.InsecureHTTP {
		r.advise(path+".insecure_http", "keys may be fetched without encryption: whoever is on the way can replace them",
			"use https, with ca_file if the authority is your own")
	}
	if i.CAFile != "" && strings.HasPrefix(i.JWKSURI, "http:") && in.GetIntrospection() == nil {
		r.advise(path+".ca_file", "is not used: jwks_uri is plain http", "take it out, or use https")
	}
	r.caPlaces = append(r.caPlaces, r.spot(path+".ca_file"))
}

// duration reads a time with units, or gives its default when it is not
// written.
func (r *reader) duration(path, text string, byDefault, least, most time.Duration) time.Duration {
	if text == "" {
		return byDefault
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		r.refuse(path, fmt.Sprintf("is %q, want a number with a unit", text), "for instance 90s, 30m or 24h")
	case d < least || d > most:
		r.refuse(path, fmt.Sprintf("is %s, want %s to %s", text, short(least), short(most)), "the default is "+short(byDefault))
	}
	return d
}

// short writes a duration without the units that are zero at its end.
func short(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// Files names the files that an Assembly reads, each once: those of ca_file and
// introspection.
func (c *Config) Files() []string {
	var files []string
	for _, i := range c.Issuers {
		files = append(files, i.CAFile)
		if i.Introspection != nil {
			files = append(files, i.Introspection.file())
		}
	}
	slices.Sort(files)
	return slices.DeleteFunc(slices.Compact(files), func(name string) bool { return name == "" })
}

// authorities reads the ca_file of issuer n, nil when it has none. The error is
// a placed one.
func (c *Config) authorities(n int, p Parts) ([]byte, error) {
	file := c.Issuers[n].CAFile
	switch {
	case file == "":
		return nil, nil
	case p.ReadFile == nil:
		return nil, c.badCA(n, fmt.Errorf("%s is not read here", file))
	}
	pem, err := p.ReadFile(file)
	if err != nil {
		return nil, c.badCA(n, err)
	}
	return pem, nil
}

// badCA says what is wrong with the ca_file of issuer n, and where it is named.
func (c *Config) badCA(n int, err error) error {
	p := c.caPlaces[n]
	p.Message = err.Error()
	p.Hint = "it is a PEM file with certificates, relative to the configuration file"
	return placed{p}
}

// placed is a Problem on its way as an error.
type placed struct{ Problem }

// Error is the problem with its place.
func (p placed) Error() string { return p.String() }
