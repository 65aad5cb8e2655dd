<?php
// The routes of routers.rs on Laravel's router, read as its handlers read a request: `input`, `get`, `all`, and a parameter as
// a property of the request.
require 'Illuminate/Events/autoload.php';
require 'Illuminate/Routing/autoload.php';

use Illuminate\Container\Container;
use Illuminate\Events\Dispatcher;
use Illuminate\Http\JsonResponse;
use Illuminate\Http\Request;
use Illuminate\Routing\Router;
use Symfony\Component\HttpKernel\Exception\HttpExceptionInterface;

$container = new Container();
$router = new Router(new Dispatcher($container), $container);
$texts = function (...$values) {
    $texts = [];
    array_walk_recursive($values, function ($text) use (&$texts) { $texts[] = $text; });
    return array_values(array_unique(array_filter($texts, fn ($text) => $text !== null), SORT_REGULAR));
};
$report = function (Request $request, string $handler, array $params) use ($texts) {
    $read = fn ($name) => $texts(
        $request->query($name), $request->input($name), $request->get($name), $request->all()[$name] ?? null, $request->$name,
    );
    return new JsonResponse([
        'handler' => $handler,
        'method' => $request->method(),
        'params' => $params,
        'hydrate' => $read('hydrate') ?: null,
        'types' => $read('type'),
        'type' => $request->header('x-type'),
        'account' => $request->header('x-account-id'),
        'key' => $request->header('x-key-id'),
        'credentials' => $texts(
            $request->header('authorization'), $request->header('x-api-key'), $request->query('api_key'), $request->cookies->get('api_key'),
        ),
        'connection' => $request->header('connection'),
        'url' => $request->getRequestUri(),
        'query' => $request->query(),
        'headers' => $request->header(),
    ], $handler === 'none' ? 404 : 200, [], JSON_INVALID_UTF8_SUBSTITUTE);
};
$add = function ($path, $methods, $handler, $requirements = []) use ($router, $report) {
    $run = fn (Request $request) => $report($request, $handler, $request->route()->parameters());
    $router->addRoute($methods ?: Router::$verbs, $path, $run)->where($requirements);
};
(require __DIR__ . '/../php/routes.php')($add);

$request = Request::capture();
$container->instance(Request::class, $request);
try {
    $response = $router->dispatch($request);
} catch (HttpExceptionInterface $exception) {
    $response = $report($request, 'none', []);
}
$response->send();
