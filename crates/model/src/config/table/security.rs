//! Encryption, authentication, authorization. None of it is supported yet, so what sets it is refused.

use super::super::def::configs;

configs! { SECURITY: Broker =
    /// The Java class that decides who may do what.
    "authorizer.class.name": Text, Any, "", Low, ReadOnly, Refused;
    /// How long a connection stays open after its authentication failed.
    "connection.failed.authentication.delay.ms": Int, Min(0), "100", Low, ReadOnly, NotYet;
    /// How long an authentication holds; 0 for the life of its connection.
    "connections.max.reauth.ms": Long, Any, "0", Medium, ReadOnly, Refused;
    /// How often delegation tokens that expired are looked for.
    "delegation.token.expiry.check.interval.ms": Long, Min(1), "3600000", Low, ReadOnly, NotYet;
    /// How long a delegation token holds before it must be renewed.
    "delegation.token.expiry.time.ms": Long, Min(1), "86400000", Medium, ReadOnly, NotYet;
    /// How long a delegation token can be renewed.
    "delegation.token.max.lifetime.ms": Long, Min(1), "604800000", Medium, ReadOnly, NotYet;
    /// The key that signs delegation tokens.
    "delegation.token.secret.key": Password, Any, null, Medium, ReadOnly, Refused;
    /// Listeners that open before the authorizer is ready.
    "early.start.listeners": List, Any, null, High, ReadOnly, NotYet;
    /// The Java class that names who is connected.
    "principal.builder.class": Class, Any, "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder", Medium, PerBroker, Refused;
    /// The Java class that answers SASL questions of clients.
    "sasl.client.callback.handler.class": Class, Any, null, Medium, ReadOnly, Refused;
    /// The SASL mechanisms that clients may use.
    "sasl.enabled.mechanisms": List, Any, "GSSAPI", Medium, PerBroker, Refused;
    /// The login of SASL, in the format of JAAS.
    "sasl.jaas.config": Password, Any, null, Medium, PerBroker, Refused;
    /// The command that gets a Kerberos ticket.
    "sasl.kerberos.kinit.cmd": Text, Any, "/usr/bin/kinit", Medium, PerBroker, Refused;
    /// Least time between two Kerberos logins.
    "sasl.kerberos.min.time.before.relogin": Long, Any, "60000", Medium, PerBroker, Refused;
    /// How a Kerberos name becomes a user's.
    "sasl.kerberos.principal.to.local.rules": List, Any, "DEFAULT", Medium, PerBroker, Refused;
    /// The Kerberos name of the service.
    "sasl.kerberos.service.name": Text, Any, null, Medium, PerBroker, Refused;
    /// The part of the renewal time that is left to chance.
    "sasl.kerberos.ticket.renew.jitter": Double, Any, "0.05", Medium, PerBroker, Refused;
    /// The part of a ticket's life after which it is renewed.
    "sasl.kerberos.ticket.renew.window.factor": Double, Any, "0.8", Medium, PerBroker, Refused;
    /// The Java class that answers SASL questions at login.
    "sasl.login.callback.handler.class": Class, Any, null, Medium, ReadOnly, Refused;
    /// The Java class of the login.
    "sasl.login.class": Class, Any, null, Medium, ReadOnly, Refused;
    /// How long to wait for a connection to the identity provider.
    "sasl.login.connect.timeout.ms": Int, Any, null, Low, ReadOnly, Refused;
    /// How long to wait for an answer of the identity provider.
    "sasl.login.read.timeout.ms": Int, Any, null, Low, ReadOnly, Refused;
    /// How long before its end a credential is renewed.
    "sasl.login.refresh.buffer.seconds": Short, Any, "300", Medium, PerBroker, Refused;
    /// Least time between two renewals.
    "sasl.login.refresh.min.period.seconds": Short, Any, "60", Medium, PerBroker, Refused;
    /// The part of a credential's life after which it is renewed.
    "sasl.login.refresh.window.factor": Double, Any, "0.8", Medium, PerBroker, Refused;
    /// The part of that which is left to chance.
    "sasl.login.refresh.window.jitter": Double, Any, "0.05", Medium, PerBroker, Refused;
    /// The longest pause between two logins.
    "sasl.login.retry.backoff.max.ms": Long, Any, "10000", Low, ReadOnly, Refused;
    /// The first pause between two logins.
    "sasl.login.retry.backoff.ms": Long, Any, "100", Low, ReadOnly, Refused;
    /// The SASL mechanism for controllers.
    "sasl.mechanism.controller.protocol": Text, Any, "GSSAPI", High, ReadOnly, Refused;
    /// The SASL mechanism among brokers.
    "sasl.mechanism.inter.broker.protocol": Text, Any, "GSSAPI", Medium, PerBroker, Refused;
    /// How the node's own assertion is signed.
    "sasl.oauthbearer.assertion.algorithm": Text, OneOfAnyCase(&["ES256", "RS256"]), "RS256", Medium, ReadOnly, Refused;
    /// The audience of that assertion.
    "sasl.oauthbearer.assertion.claim.aud": Text, Any, null, Medium, ReadOnly, Refused;
    /// How long that assertion holds.
    "sasl.oauthbearer.assertion.claim.exp.seconds": Int, Range(0, 86400), "300", Low, ReadOnly, Refused;
    /// The issuer of that assertion.
    "sasl.oauthbearer.assertion.claim.iss": Text, Any, null, Medium, ReadOnly, Refused;
    /// Whether that assertion has an id.
    "sasl.oauthbearer.assertion.claim.jti.include": Bool, Any, "false", Medium, ReadOnly, Refused;
    /// How long before now that assertion begins to hold.
    "sasl.oauthbearer.assertion.claim.nbf.seconds": Int, Range(0, 3600), "60", Low, ReadOnly, Refused;
    /// The subject of that assertion.
    "sasl.oauthbearer.assertion.claim.sub": Text, Any, null, Medium, ReadOnly, Refused;
    /// A file with an assertion made elsewhere.
    "sasl.oauthbearer.assertion.file": Text, Any, null, Medium, ReadOnly, Refused;
    /// The file of the key that signs that assertion.
    "sasl.oauthbearer.assertion.private.key.file": Text, Any, null, Medium, ReadOnly, Refused;
    /// The password of that key.
    "sasl.oauthbearer.assertion.private.key.passphrase": Password, Any, null, Medium, ReadOnly, Refused;
    /// A file with what else stands in that assertion.
    "sasl.oauthbearer.assertion.template.file": Text, Any, null, Medium, ReadOnly, Refused;
    /// The node's id with the identity provider.
    "sasl.oauthbearer.client.credentials.client.id": Text, Any, null, Medium, ReadOnly, Refused;
    /// The node's secret with the identity provider.
    "sasl.oauthbearer.client.credentials.client.secret": Password, Any, null, Medium, ReadOnly, Refused;
    /// How far the identity provider's clock may be off.
    "sasl.oauthbearer.clock.skew.seconds": Int, Any, "30", Low, ReadOnly, Refused;
    /// The audiences that a client's token may be for.
    "sasl.oauthbearer.expected.audience": List, Any, "", High, ReadOnly, Refused;
    /// The issuer that a client's token must be from.
    "sasl.oauthbearer.expected.issuer": Text, Any, null, High, ReadOnly, Refused;
    /// How often the provider's keys are fetched anew.
    "sasl.oauthbearer.jwks.endpoint.refresh.ms": Long, Any, "3600000", Low, ReadOnly, Refused;
    /// The longest pause between two attempts to fetch them.
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms": Long, Any, "10000", Low, ReadOnly, Refused;
    /// The first pause between two attempts to fetch them.
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms": Long, Any, "100", Low, ReadOnly, Refused;
    /// Where the provider's keys are.
    "sasl.oauthbearer.jwks.endpoint.url": Text, Any, null, Medium, ReadOnly, Refused;
    /// The Java class that gets tokens.
    "sasl.oauthbearer.jwt.retriever.class": Class, Any, "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever", Medium, ReadOnly, Refused;
    /// The Java class that checks tokens.
    "sasl.oauthbearer.jwt.validator.class": Class, Any, "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator", Medium, ReadOnly, Refused;
    /// The scope that is asked for.
    "sasl.oauthbearer.scope": Text, Any, null, Medium, ReadOnly, Refused;
    /// The claim that holds a token's scope.
    "sasl.oauthbearer.scope.claim.name": Text, Any, "scope", Low, ReadOnly, Refused;
    /// The claim that holds a token's subject.
    "sasl.oauthbearer.sub.claim.name": Text, Any, "sub", Low, ReadOnly, Refused;
    /// Where tokens are got.
    "sasl.oauthbearer.token.endpoint.url": Text, Any, null, Medium, ReadOnly, Refused;
    /// The Java class that answers SASL questions of the server.
    "sasl.server.callback.handler.class": Class, Any, null, Medium, ReadOnly, Refused;
    /// The largest message before a client is authenticated.
    "sasl.server.max.receive.size": Int, Any, "524288", Medium, ReadOnly, Refused;
    /// What brokers speak among themselves, where `inter.broker.listener.name` is not set.
    "security.inter.broker.protocol": Text, OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), "PLAINTEXT", Medium, ReadOnly, Refused;
    /// Java security providers.
    "security.providers": Text, Any, null, Low, ReadOnly, Refused;
    /// Whether a new certificate may have another name.
    "ssl.allow.dn.changes": Bool, Any, "false", Low, ReadOnly, Refused;
    /// Whether a new certificate may have other alternative names.
    "ssl.allow.san.changes": Bool, Any, "false", Low, ReadOnly, Refused;
    /// The cipher suites of TLS.
    "ssl.cipher.suites": List, Any, "", Medium, PerBroker, Refused;
    /// Whether clients must show a certificate.
    "ssl.client.auth": Text, OneOf(&["required", "requested", "none"]), "none", Medium, PerBroker, Refused;
    /// The versions of TLS that are spoken.
    "ssl.enabled.protocols": List, Any, "TLSv1.2,TLSv1.3", Medium, PerBroker, Refused;
    /// How a server's name is checked against its certificate.
    "ssl.endpoint.identification.algorithm": Text, Any, "https", Low, PerBroker, Refused;
    /// The Java class that makes TLS engines.
    "ssl.engine.factory.class": Class, Any, null, Low, PerBroker, Refused;
    /// The password of the private key.
    "ssl.key.password": Password, Any, null, Medium, PerBroker, Refused;
    /// The algorithm of the Java key manager.
    "ssl.keymanager.algorithm": Text, Any, "SunX509", Medium, PerBroker, Refused;
    /// The certificates, as text.
    "ssl.keystore.certificate.chain": Password, Any, null, Medium, PerBroker, Refused;
    /// The private key, as text.
    "ssl.keystore.key": Password, Any, null, Medium, PerBroker, Refused;
    /// The file of the private key and certificates.
    "ssl.keystore.location": Text, Any, null, Medium, PerBroker, Refused;
    /// The password of that file.
    "ssl.keystore.password": Password, Any, null, Medium, PerBroker, Refused;
    /// The format of that file.
    "ssl.keystore.type": Text, Any, "JKS", Medium, PerBroker, Refused;
    /// How the name in a certificate becomes a user's.
    "ssl.principal.mapping.rules": Text, Any, "DEFAULT", Low, ReadOnly, Refused;
    /// The version of TLS.
    "ssl.protocol": Text, Any, "TLSv1.3", Medium, PerBroker, Refused;
    /// The Java security provider of TLS.
    "ssl.provider": Text, Any, null, Medium, PerBroker, Refused;
    /// The Java random number generator of TLS.
    "ssl.secure.random.implementation": Text, Any, null, Low, PerBroker, Refused;
    /// The algorithm of the Java trust manager.
    "ssl.trustmanager.algorithm": Text, Any, "PKIX", Medium, PerBroker, Refused;
    /// The trusted certificates, as text.
    "ssl.truststore.certificates": Password, Any, null, Medium, PerBroker, Refused;
    /// The file of the trusted certificates.
    "ssl.truststore.location": Text, Any, null, Medium, PerBroker, Refused;
    /// The password of that file.
    "ssl.truststore.password": Password, Any, null, Medium, PerBroker, Refused;
    /// The format of that file.
    "ssl.truststore.type": Text, Any, "JKS", Medium, PerBroker, Refused;
}
