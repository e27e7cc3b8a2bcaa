"""Draws a scene with OpenGL (moderngl on EGL, no display needed): what training frames are made with.

Boxes and capsules are instanced meshes; colours follow the same arithmetic as `caster.shade`, shadows come from a depth
map seen from the lamp, object ids go into a second attachment. On Debian it needs libegl1, libgl1 and libgl1-mesa-dri
(software rendering is enough).
"""

from collections.abc import Sequence

import moderngl
import numpy as np
from numpy.typing import NDArray

from analytics.training.caster import Drawn
from analytics.training.scene import Array, Box, Camera, Capsule, Light, Primitive, Scene, unit

_SHADOW_SIZE = 768
_SHADOW_TAN = 2.6
_NEAR, _FAR = 0.05, 30.0

_COMMON = """
#version 330
uniform mat4 view;
in vec3 in_corner;
in vec3 in_colour;
in vec4 in_kind;
out vec3 world; out vec3 local; out vec3 own; out vec3 normal; out vec3 half_size; out vec3 colour;
flat out vec4 kind;
"""

_BOX_VERTEX = (
    _COMMON
    + """
in vec3 in_normal; in vec3 in_centre; in vec3 in_half; in vec3 in_x; in vec3 in_y; in vec3 in_z;
void main() {
    local = in_corner * in_half; own = in_normal; half_size = in_half; colour = in_colour; kind = in_kind;
    mat3 turn = mat3(in_x, in_y, in_z);
    world = in_centre + turn * local;
    normal = turn * in_normal;
    gl_Position = view * vec4(world, 1.0);
}
"""
)

_CAPSULE_VERTEX = (
    _COMMON
    + """
in float in_end; in vec3 in_p0; in vec3 in_p1; in float in_radius;
void main() {
    vec3 axis = in_p1 - in_p0;
    vec3 z = length(axis) > 1e-6 ? normalize(axis) : vec3(0.0, 0.0, 1.0);
    vec3 x = normalize(abs(z.z) < 0.9 ? cross(z, vec3(0.0, 0.0, 1.0)) : cross(z, vec3(1.0, 0.0, 0.0)));
    vec3 y = cross(z, x);
    normal = x * in_corner.x + y * in_corner.y + z * in_corner.z;
    world = mix(in_p0, in_p1, in_end) + normal * in_radius;
    local = vec3(0.0); own = vec3(0.0); half_size = vec3(1.0); colour = in_colour; kind = in_kind;
    gl_Position = view * vec4(world, 1.0);
}
"""
)

_FRAGMENT = (
    """
#version 330
uniform vec3 eye; uniform vec3 lamp; uniform vec3 tint; uniform float strength; uniform float ambient;
uniform bool infrared; uniform mat4 lamp_view; uniform sampler2D shadow;
in vec3 world; in vec3 local; in vec3 own; in vec3 normal; in vec3 half_size; in vec3 colour;
flat in vec4 kind;
layout(location = 0) out vec4 picture; layout(location = 1) out vec4 id;

float hashed(int x, int y, int seed) {
    uint h = uint(x) * 374761393u + uint(y) * 668265263u;
    h = h + uint(seed) * 2246822519u;
    h = (h ^ (h >> 13u)) * 1274126177u;
    h = h ^ (h >> 16u);
    return float(h & 65535u) / 65535.0;
}
int cell(float a) { return int(floor(a)); }
int part(int a, int n) { return int(floor(float(a) / float(n))); }

vec3 screen(float u, float v, int seed) {
    int x = cell((u + 1.0) * 8.0), y = cell((v + 1.0) * 6.0);
    vec3 tone = 0.3 + 0.7 * vec3(hashed(part(x, 4), y, seed + 2), hashed(part(x, 4), y, seed + 3),
                                 hashed(part(x, 4), y, seed + 4));
    bool shown = abs(u) < 0.94 && abs(v) < 0.92 && hashed(part(x, 2), y, seed) > 0.55 && fract((v + 1.0) * 6.0) > 0.35;
    return shown ? tone * (0.3 + 0.7 * hashed(x, y, seed + 1)) : colour * 0.35;
}
float ring(float u, float v, float y, float a, float b) { return u * u / (a * a) + (v - y) * (v - y) / (b * b); }
vec3 portrait(float u, float v, int seed) {
    float t[6];
    for (int k = 0; k < 6; k++) t[k] = hashed(k, 0, seed);
    vec3 c = colour;
    if (ring(u, v, -1.0, 0.80, 0.90) < 1.0) c = vec3(0.1 + 0.6 * t[0], 0.1 + 0.6 * t[1], 0.1 + 0.8 * t[2]);
    if (ring(u, v, 0.42, 0.40, 0.34) < 1.0) c = vec3(0.05 + 0.2 * t[3]);
    if (ring(u, v, 0.30, 0.36, 0.36) < 1.0 && v < 0.45)
        c = vec3(0.6 + 0.3 * t[4], 0.45 + 0.3 * t[4], 0.35 + 0.25 * t[4]);
    return c;
}
vec3 painted() {
    int texture_kind = int(kind.y + 0.5), seed = int(kind.w + 0.5);
    if (texture_kind == 0) return colour;
    float p = abs(own.x) > 0.5 ? local.y : local.x;
    float q = abs(own.z) > 0.5 ? local.y : local.z;
    if (texture_kind == 3 || texture_kind == 4) {
        if (own.y > -0.5) return colour * 0.3;
        float u = local.x / half_size.x, v = local.z / half_size.z;
        return texture_kind == 3 ? screen(u, v, seed) : portrait(u, v, seed);
    }
    if (texture_kind == 1) return colour * (0.9 + 0.2 * hashed(cell(p * 14.0), cell(q * 14.0), seed));
    if (texture_kind == 5) return colour * (0.88 + 0.24 * hashed(cell(p * 2.5), cell(q * 40.0), seed));
    float x = p / 0.6, y = q / 0.6;
    if (fract(x) < 0.03 || fract(y) < 0.03) return colour * 0.6;
    return colour * (0.94 + 0.12 * hashed(cell(x), cell(y), seed));
}
float lit(float facing) {
    vec4 at = lamp_view * vec4(world, 1.0);
    if (at.w <= 0.05) return 1.0;
    vec3 p = at.xyz / at.w * 0.5 + 0.5;
    if (p.x <= 0.0 || p.x >= 1.0 || p.y <= 0.0 || p.y >= 1.0) return 1.0;
    float sum = 0.0, own_w = at.w - 0.03 - 0.04 * (1.0 - facing);
    for (int i = 0; i < 2; i++) for (int j = 0; j < 2; j++) {
        float d = texture(shadow, p.xy + (vec2(i, j) - 0.5) / float(SHADOW)).x;
        float far_w = 2.0 * NEAR * FAR / (FAR + NEAR - (2.0 * d - 1.0) * (FAR - NEAR));
        sum += own_w < far_w ? 0.25 : 0.0;
    }
    return sum;
}
void main() {
    id = vec4(kind.x / 255.0, 0.0, 0.0, 1.0);
    vec3 c = painted(), n = normalize(normal), result;
    float emissive = kind.z;
    if (infrared) {
        float grey = dot(c, vec3(0.45, 0.35, 0.2));
        vec3 to = eye - world;
        float d2 = dot(to, to), facing = abs(dot(n, to)) / sqrt(d2);
        float value = (0.25 + 0.75 * grey) * (0.10 + 8.0 / (3.0 + d2) * facing * 0.75);
        result = vec3(emissive > 0.0 ? grey * 0.35 * emissive : value);
    } else if (emissive > 0.0) {
        result = c * emissive;
    } else {
        vec3 to = lamp - world;
        float d2 = dot(to, to), facing = max(0.0, dot(n, to) / sqrt(d2));
        float direct = strength * 7.0 / (3.0 + d2) * facing * lit(facing);
        result = c * (direct + ambient * (0.8 + 0.2 * n.z)) * tint;
    }
    picture = vec4(pow(clamp(result, 0.0, 1.0), vec3(1.0 / 1.6)), 1.0);
}
""".replace("SHADOW)", f"{_SHADOW_SIZE})")
    .replace("NEAR", f"{_NEAR:.3f}")
    .replace("FAR", f"{_FAR:.3f}")
)

_DEPTH_FRAGMENT = "#version 330\nvoid main() {}\n"

_BOX_LAYOUT = "3f 3f 3f 3f 3f 3f 4f/i"
_BOX_NAMES = ("in_centre", "in_half", "in_x", "in_y", "in_z", "in_colour", "in_kind")
_CAPSULE_LAYOUT = "3f 3f 1f 3f 4f/i"
_CAPSULE_NAMES = ("in_p0", "in_p1", "in_radius", "in_colour", "in_kind")


class Renderer:
    """One GL context and one picture size (width, height). Not to be shared between threads or forked."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self._gl = moderngl.create_context(standalone=True, backend="egl")
        gl = self._gl
        gl.enable(moderngl.DEPTH_TEST)
        self._programs = {
            "box": gl.program(vertex_shader=_BOX_VERTEX, fragment_shader=_FRAGMENT),
            "capsule": gl.program(vertex_shader=_CAPSULE_VERTEX, fragment_shader=_FRAGMENT),
        }
        self._depth_programs = {
            "box": gl.program(vertex_shader=_BOX_VERTEX, fragment_shader=_DEPTH_FRAGMENT),
            "capsule": gl.program(vertex_shader=_CAPSULE_VERTEX, fragment_shader=_DEPTH_FRAGMENT),
        }
        cube, cube_index = _cube()
        ball, ball_index = _capsule_mesh()
        self._meshes = {
            "box": (gl.buffer(cube.tobytes()), gl.buffer(cube_index.tobytes()), "3f 3f", ("in_corner", "in_normal")),
            "capsule": (gl.buffer(ball.tobytes()), gl.buffer(ball_index.tobytes()), "3f 1f", ("in_corner", "in_end")),
        }
        self._colour = gl.texture(size, 4)
        self._ids = gl.texture(size, 4)
        self._depth = gl.depth_texture(size)
        self._target = gl.framebuffer([self._colour, self._ids], self._depth)
        self._shadow = gl.depth_texture((_SHADOW_SIZE, _SHADOW_SIZE))
        self._shadow.compare_func = ""
        self._shadow.filter = (moderngl.NEAREST, moderngl.NEAREST)
        self._shadow_target = gl.framebuffer([], self._shadow)

    def draw(self, scene: Scene) -> Drawn:
        w, h = self.size
        lamp_view = _lamp_matrix(scene.light)
        if not scene.light.infrared:
            self._shadow_target.use()
            self._shadow_target.clear(depth=1.0)
            self._each([p for p in scene.primitives if p.casts], self._depth_programs, lamp_view)
        self._target.use()
        self._target.clear(depth=1.0)
        self._shadow.use(0)
        for program in self._programs.values():
            _set_light(program, scene, lamp_view)
        self._each(scene.primitives, self._programs, _camera_matrix(scene.camera, self.size))
        rows = np.frombuffer(self._target.read(components=3, attachment=0, alignment=1), np.uint8)
        ids = np.frombuffer(self._target.read(components=1, attachment=1, alignment=1), np.uint8)
        z = np.frombuffer(self._depth.read(alignment=1), np.float32).reshape(h, w)[::-1]
        depth = 2 * _NEAR * _FAR / (_FAR + _NEAR - (2 * z - 1) * (_FAR - _NEAR))
        return Drawn(
            np.ascontiguousarray(rows.reshape(h, w, 3)[::-1]),
            np.ascontiguousarray(ids.reshape(h, w)[::-1]).astype(np.int32),
            depth.astype(np.float32),
        )

    def _each(self, prims: Sequence[Primitive], programs: dict[str, moderngl.Program], view: Array) -> None:
        boxes = [_box_row(p) for p in prims if isinstance(p, Box)]
        capsules = [_capsule_row(p) for p in prims if isinstance(p, Capsule)]
        for kind, rows, layout, names in (
            ("box", boxes, _BOX_LAYOUT, _BOX_NAMES),
            ("capsule", capsules, _CAPSULE_LAYOUT, _CAPSULE_NAMES),
        ):
            if not rows:
                continue
            program = programs[kind]
            program["view"].write(view.T.astype("f4").tobytes())
            mesh, index, mesh_layout, mesh_names = self._meshes[kind]
            instances = self._gl.buffer(np.array(rows, np.float32).tobytes())
            content = [
                _used(program, mesh, mesh_layout, mesh_names),
                _used(program, instances, layout, names),
            ]
            array = self._gl.vertex_array(program, content, index)
            array.render(instances=len(rows))
            array.release()
            instances.release()


def _used(
    program: moderngl.Program, buffer: moderngl.Buffer, layout: str, names: tuple[str, ...]
) -> tuple[object, ...]:
    """The layout with attributes that this program does not read turned into padding."""
    per = "/i" if layout.endswith("/i") else ""
    parts = layout.removesuffix("/i").split()
    kept = [name for name in names if name in program]
    spec = [p if n in program else f"{4 * int(p[0])}x" for p, n in zip(parts, names, strict=True)]
    return (buffer, " ".join(spec) + per, *kept)


def _set_light(program: moderngl.Program, scene: Scene, lamp_view: Array) -> None:
    values: dict[str, object] = {
        "eye": tuple(scene.camera.position),
        "lamp": tuple(scene.light.position),
        "tint": scene.light.tint,
        "strength": scene.light.strength,
        "ambient": scene.light.ambient,
        "infrared": scene.light.infrared,
        "shadow": 0,
    }
    for name, value in values.items():
        program[name].value = value
    program["lamp_view"].write(lamp_view.T.astype("f4").tobytes())


def _box_row(b: Box) -> list[float]:
    kind = (b.id, b.texture, b.emissive, b.seed)
    return [*b.centre, *b.half, *b.rotation[:, 0], *b.rotation[:, 1], *b.rotation[:, 2], *b.colour, *kind]


def _capsule_row(c: Capsule) -> list[float]:
    return [*c.p0, *c.p1, c.radius, *c.colour, c.id, c.texture, c.emissive, c.seed]


def _projection(tx: float, ty: float) -> Array:
    a = (_FAR + _NEAR) / (_NEAR - _FAR)
    b = 2 * _FAR * _NEAR / (_NEAR - _FAR)
    return np.array([[1 / tx, 0, 0, 0], [0, 1 / ty, 0, 0], [0, 0, a, b], [0, 0, -1, 0]], float)


def _looking(position: Array, forward: Array, right: Array, up: Array) -> Array:
    turn = np.stack([right, up, -forward])
    out = np.eye(4)
    out[:3, :3] = turn
    out[:3, 3] = -turn @ position
    return out


def _camera_matrix(camera: Camera, size: tuple[int, int]) -> Array:
    return _projection(*camera.tangents(size)) @ _looking(camera.position, *camera.basis())


def _lamp_matrix(light: Light) -> Array:
    down, right = np.array([0.0, 0.0, -1.0]), np.array([1.0, 0.0, 0.0])
    return _projection(_SHADOW_TAN, _SHADOW_TAN) @ _looking(light.position, down, right, np.cross(right, down))


def _cube() -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    vertices: list[list[float]] = []
    index: list[int] = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            first = len(vertices)
            for a, b in ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)):
                corner, normal = [0.0] * 3, [0.0] * 3
                corner[axis], corner[(axis + 1) % 3], corner[(axis + 2) % 3] = sign, a, b
                normal[axis] = sign
                vertices.append(corner + normal)
            index += [first, first + 1, first + 2, first, first + 2, first + 3]
    return np.array(vertices, np.float32), np.array(index, np.int32)


def _capsule_mesh(around: int = 24, rings: int = 7) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Points of a unit sphere cut at its equator: the lower half belongs to p0 (`end` 0), the upper to p1."""
    vertices: list[list[float]] = []
    latitudes = [*np.linspace(-np.pi / 2, 0, rings), *np.linspace(0, np.pi / 2, rings)]
    for k, latitude in enumerate(latitudes):
        for j in range(around):
            a = 2 * np.pi * j / around
            v = unit(np.array([np.cos(latitude) * np.cos(a), np.cos(latitude) * np.sin(a), np.sin(latitude)]))
            vertices.append([*v, 0.0 if k < rings else 1.0])
    index: list[int] = []
    for k in range(len(latitudes) - 1):
        for j in range(around):
            a, b = k * around + j, k * around + (j + 1) % around
            index += [a, b, b + around, a, b + around, a + around]
    return np.array(vertices, np.float32), np.array(index, np.int32)
