<?php
// The routes of routers.rs on Symfony's router; what decides is read from PHP's own variables, `$_REQUEST` included. With
// FRAMEWORK=symfony methods and parameters are Symfony's, with its switch for overridden methods.
require '/usr/share/php/Symfony/Component/HttpFoundation/autoload.php';
require '/usr/share/php/Symfony/Component/Routing/autoload.php';

use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\Routing\Matcher\UrlMatcher;
use Symfony\Component\Routing\RequestContext;
use Symfony\Component\Routing\Route;
use Symfony\Component\Routing\RouteCollection;

$routes = new RouteCollection();
$add = function ($path, $methods, $handler, $requirements = []) use ($routes) {
    $routes->add("$handler $path", new Route($path, ['_handler' => $handler], $requirements, [], '', [], $methods));
};
(require __DIR__ . '/routes.php')($add);

$isSymfony = getenv('FRAMEWORK') === 'symfony';
if ($isSymfony) {
    Request::enableHttpMethodParameterOverride();
}
$request = Request::createFromGlobals();
try {
    $context = (new RequestContext())->fromRequest($request);
    $params = (new UrlMatcher($routes, $context))->match($request->getPathInfo());
    $method = $request->getMethod();
} catch (Exception $exception) {
    $params = ['_handler' => 'none'];
    $method = $_SERVER['REQUEST_METHOD'];
}
$texts = function ($value) {
    $texts = [];
    $value = (array) $value;
    array_walk_recursive($value, function ($text) use (&$texts) { $texts[] = $text; });
    return $texts;
};
// What `$_REQUEST` or `get` has beside the query.
$more = function ($name) use ($isSymfony, $request) {
    return $isSymfony ? $request->query->all()[$name] ?? $request->request->all()[$name] ?? null : $_REQUEST[$name] ?? null;
};
$hydrate = array_merge($texts($_GET['hydrate'] ?? []), $texts($more('hydrate') ?? []));
http_response_code($params['_handler'] === 'none' ? 404 : 200);
header('content-type: application/json');
echo json_encode([
    'handler' => $params['_handler'],
    'method' => $method,
    'params' => array_filter($params, fn ($name) => $name[0] !== '_', ARRAY_FILTER_USE_KEY),
    'hydrate' => $hydrate ?: null,
    'types' => array_merge($texts($_GET['type'] ?? []), $texts($more('type') ?? [])),
    'type' => $_SERVER['HTTP_X_TYPE'] ?? null,
    'account' => $_SERVER['HTTP_X_ACCOUNT_ID'] ?? null,
    'key' => $_SERVER['HTTP_X_KEY_ID'] ?? null,
    'credentials' => array_merge(
        $texts($_SERVER['HTTP_AUTHORIZATION'] ?? []),
        $texts($_SERVER['HTTP_X_API_KEY'] ?? []),
        $texts($_GET['api_key'] ?? []),
        $texts($_COOKIE['api_key'] ?? []),
    ),
    'connection' => $_SERVER['HTTP_CONNECTION'] ?? null,
    'url' => $request->getRequestUri(),
    'query' => $_GET,
    'headers' => array_filter($_SERVER, fn ($name) => strncmp($name, 'HTTP_', 5) === 0, ARRAY_FILTER_USE_KEY),
], JSON_INVALID_UTF8_SUBSTITUTE);
