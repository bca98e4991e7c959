//! Encryption, authentication, authorization. None of it is supported yet, so what sets it is refused.

use super::super::def::configs;

configs! { SECURITY: Broker =
    /// authorizer.class.name
    "authorizer.class.name": Text, Any, "", Low, ReadOnly, NotYet;
    /// connection.failed.authentication.delay.ms
    "connection.failed.authentication.delay.ms": Int, Min(0), "100", Low, ReadOnly, NotYet;
    /// connections.max.reauth.ms
    "connections.max.reauth.ms": Long, Any, "0", Medium, ReadOnly, NotYet;
    /// delegation.token.expiry.check.interval.ms
    "delegation.token.expiry.check.interval.ms": Long, Min(1), "3600000", Low, ReadOnly, NotYet;
    /// delegation.token.expiry.time.ms
    "delegation.token.expiry.time.ms": Long, Min(1), "86400000", Medium, ReadOnly, NotYet;
    /// delegation.token.max.lifetime.ms
    "delegation.token.max.lifetime.ms": Long, Min(1), "604800000", Medium, ReadOnly, NotYet;
    /// delegation.token.secret.key
    "delegation.token.secret.key": Password, Any, null, Medium, ReadOnly, NotYet;
    /// early.start.listeners
    "early.start.listeners": List, Any, null, High, ReadOnly, NotYet;
    /// principal.builder.class
    "principal.builder.class": Class, Any, "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder", Medium, PerBroker, NotYet;
    /// sasl.client.callback.handler.class
    "sasl.client.callback.handler.class": Class, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.enabled.mechanisms
    "sasl.enabled.mechanisms": List, Any, "GSSAPI", Medium, PerBroker, NotYet;
    /// sasl.jaas.config
    "sasl.jaas.config": Password, Any, null, Medium, PerBroker, NotYet;
    /// sasl.kerberos.kinit.cmd
    "sasl.kerberos.kinit.cmd": Text, Any, "/usr/bin/kinit", Medium, PerBroker, NotYet;
    /// sasl.kerberos.min.time.before.relogin
    "sasl.kerberos.min.time.before.relogin": Long, Any, "60000", Medium, PerBroker, NotYet;
    /// sasl.kerberos.principal.to.local.rules
    "sasl.kerberos.principal.to.local.rules": List, Any, "DEFAULT", Medium, PerBroker, NotYet;
    /// sasl.kerberos.service.name
    "sasl.kerberos.service.name": Text, Any, null, Medium, PerBroker, NotYet;
    /// sasl.kerberos.ticket.renew.jitter
    "sasl.kerberos.ticket.renew.jitter": Double, Any, "0.05", Medium, PerBroker, NotYet;
    /// sasl.kerberos.ticket.renew.window.factor
    "sasl.kerberos.ticket.renew.window.factor": Double, Any, "0.8", Medium, PerBroker, NotYet;
    /// sasl.login.callback.handler.class
    "sasl.login.callback.handler.class": Class, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.login.class
    "sasl.login.class": Class, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.login.connect.timeout.ms
    "sasl.login.connect.timeout.ms": Int, Any, null, Low, ReadOnly, NotYet;
    /// sasl.login.read.timeout.ms
    "sasl.login.read.timeout.ms": Int, Any, null, Low, ReadOnly, NotYet;
    /// sasl.login.refresh.buffer.seconds
    "sasl.login.refresh.buffer.seconds": Short, Any, "300", Medium, PerBroker, NotYet;
    /// sasl.login.refresh.min.period.seconds
    "sasl.login.refresh.min.period.seconds": Short, Any, "60", Medium, PerBroker, NotYet;
    /// sasl.login.refresh.window.factor
    "sasl.login.refresh.window.factor": Double, Any, "0.8", Medium, PerBroker, NotYet;
    /// sasl.login.refresh.window.jitter
    "sasl.login.refresh.window.jitter": Double, Any, "0.05", Medium, PerBroker, NotYet;
    /// sasl.login.retry.backoff.max.ms
    "sasl.login.retry.backoff.max.ms": Long, Any, "10000", Low, ReadOnly, NotYet;
    /// sasl.login.retry.backoff.ms
    "sasl.login.retry.backoff.ms": Long, Any, "100", Low, ReadOnly, NotYet;
    /// sasl.mechanism.controller.protocol
    "sasl.mechanism.controller.protocol": Text, Any, "GSSAPI", High, ReadOnly, NotYet;
    /// sasl.mechanism.inter.broker.protocol
    "sasl.mechanism.inter.broker.protocol": Text, Any, "GSSAPI", Medium, PerBroker, NotYet;
    /// sasl.oauthbearer.assertion.algorithm
    "sasl.oauthbearer.assertion.algorithm": Text, OneOfAnyCase(&["ES256", "RS256"]), "RS256", Medium, ReadOnly, NotYet;
    /// sasl.oauthbearer.assertion.claim.aud
    "sasl.oauthbearer.assertion.claim.aud": Text, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.oauthbearer.assertion.claim.exp.seconds
    "sasl.oauthbearer.assertion.claim.exp.seconds": Int, Range(0, 86400), "300", Low, ReadOnly, NotYet;
    /// sasl.oauthbearer.assertion.claim.iss
    "sasl.oauthbearer.assertion.claim.iss": Text, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.oauthbearer.assertion.claim.jti.include
    "sasl.oauthbearer.assertion.claim.jti.include": Bool, Any, "false", Medium, ReadOnly, NotYet;
    /// sasl.oauthbearer.assertion.claim.nbf.seconds
    "sasl.oauthbearer.assertion.claim.nbf.seconds": Int, Range(0, 3600), "60", Low, ReadOnly, NotYet;
    /// sasl.oauthbearer.assertion.claim.sub
    "sasl.oauthbearer.assertion.claim.sub": Text, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.oauthbearer.assertion.file
    "sasl.oauthbearer.assertion.file": Text, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.oauthbearer.assertion.private.key.file
    "sasl.oauthbearer.assertion.private.key.file": Text, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.oauthbearer.assertion.private.key.passphrase
    "sasl.oauthbearer.assertion.private.key.passphrase": Password, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.oauthbearer.assertion.template.file
    "sasl.oauthbearer.assertion.template.file": Text, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.oauthbearer.client.credentials.client.id
    "sasl.oauthbearer.client.credentials.client.id": Text, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.oauthbearer.client.credentials.client.secret
    "sasl.oauthbearer.client.credentials.client.secret": Password, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.oauthbearer.clock.skew.seconds
    "sasl.oauthbearer.clock.skew.seconds": Int, Any, "30", Low, ReadOnly, NotYet;
    /// sasl.oauthbearer.expected.audience
    "sasl.oauthbearer.expected.audience": List, Any, "", High, ReadOnly, NotYet;
    /// sasl.oauthbearer.expected.issuer
    "sasl.oauthbearer.expected.issuer": Text, Any, null, High, ReadOnly, NotYet;
    /// sasl.oauthbearer.jwks.endpoint.refresh.ms
    "sasl.oauthbearer.jwks.endpoint.refresh.ms": Long, Any, "3600000", Low, ReadOnly, NotYet;
    /// sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms": Long, Any, "10000", Low, ReadOnly, NotYet;
    /// sasl.oauthbearer.jwks.endpoint.retry.backoff.ms
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms": Long, Any, "100", Low, ReadOnly, NotYet;
    /// sasl.oauthbearer.jwks.endpoint.url
    "sasl.oauthbearer.jwks.endpoint.url": Text, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.oauthbearer.jwt.retriever.class
    "sasl.oauthbearer.jwt.retriever.class": Class, Any, "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever", Medium, ReadOnly, NotYet;
    /// sasl.oauthbearer.jwt.validator.class
    "sasl.oauthbearer.jwt.validator.class": Class, Any, "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator", Medium, ReadOnly, NotYet;
    /// sasl.oauthbearer.scope
    "sasl.oauthbearer.scope": Text, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.oauthbearer.scope.claim.name
    "sasl.oauthbearer.scope.claim.name": Text, Any, "scope", Low, ReadOnly, NotYet;
    /// sasl.oauthbearer.sub.claim.name
    "sasl.oauthbearer.sub.claim.name": Text, Any, "sub", Low, ReadOnly, NotYet;
    /// sasl.oauthbearer.token.endpoint.url
    "sasl.oauthbearer.token.endpoint.url": Text, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.server.callback.handler.class
    "sasl.server.callback.handler.class": Class, Any, null, Medium, ReadOnly, NotYet;
    /// sasl.server.max.receive.size
    "sasl.server.max.receive.size": Int, Any, "524288", Medium, ReadOnly, NotYet;
    /// security.inter.broker.protocol
    "security.inter.broker.protocol": Text, OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), "PLAINTEXT", Medium, ReadOnly, NotYet;
    /// security.providers
    "security.providers": Text, Any, null, Low, ReadOnly, NotYet;
    /// ssl.allow.dn.changes
    "ssl.allow.dn.changes": Bool, Any, "false", Low, ReadOnly, NotYet;
    /// ssl.allow.san.changes
    "ssl.allow.san.changes": Bool, Any, "false", Low, ReadOnly, NotYet;
    /// ssl.cipher.suites
    "ssl.cipher.suites": List, Any, "", Medium, PerBroker, NotYet;
    /// ssl.client.auth
    "ssl.client.auth": Text, OneOf(&["required", "requested", "none"]), "none", Medium, PerBroker, NotYet;
    /// ssl.enabled.protocols
    "ssl.enabled.protocols": List, Any, "TLSv1.2,TLSv1.3", Medium, PerBroker, NotYet;
    /// ssl.endpoint.identification.algorithm
    "ssl.endpoint.identification.algorithm": Text, Any, "https", Low, PerBroker, NotYet;
    /// ssl.engine.factory.class
    "ssl.engine.factory.class": Class, Any, null, Low, PerBroker, NotYet;
    /// ssl.key.password
    "ssl.key.password": Password, Any, null, Medium, PerBroker, NotYet;
    /// ssl.keymanager.algorithm
    "ssl.keymanager.algorithm": Text, Any, "SunX509", Medium, PerBroker, NotYet;
    /// ssl.keystore.certificate.chain
    "ssl.keystore.certificate.chain": Password, Any, null, Medium, PerBroker, NotYet;
    /// ssl.keystore.key
    "ssl.keystore.key": Password, Any, null, Medium, PerBroker, NotYet;
    /// ssl.keystore.location
    "ssl.keystore.location": Text, Any, null, Medium, PerBroker, NotYet;
    /// ssl.keystore.password
    "ssl.keystore.password": Password, Any, null, Medium, PerBroker, NotYet;
    /// ssl.keystore.type
    "ssl.keystore.type": Text, Any, "JKS", Medium, PerBroker, NotYet;
    /// ssl.principal.mapping.rules
    "ssl.principal.mapping.rules": Text, Any, "DEFAULT", Low, ReadOnly, NotYet;
    /// ssl.protocol
    "ssl.protocol": Text, Any, "TLSv1.3", Medium, PerBroker, NotYet;
    /// ssl.provider
    "ssl.provider": Text, Any, null, Medium, PerBroker, NotYet;
    /// ssl.secure.random.implementation
    "ssl.secure.random.implementation": Text, Any, null, Low, PerBroker, NotYet;
    /// ssl.trustmanager.algorithm
    "ssl.trustmanager.algorithm": Text, Any, "PKIX", Medium, PerBroker, NotYet;
    /// ssl.truststore.certificates
    "ssl.truststore.certificates": Password, Any, null, Medium, PerBroker, NotYet;
    /// ssl.truststore.location
    "ssl.truststore.location": Text, Any, null, Medium, PerBroker, NotYet;
    /// ssl.truststore.password
    "ssl.truststore.password": Password, Any, null, Medium, PerBroker, NotYet;
    /// ssl.truststore.type
    "ssl.truststore.type": Text, Any, "JKS", Medium, PerBroker, NotYet;
}
