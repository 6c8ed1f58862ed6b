import asyncio

from django.http import JsonResponse
from django.shortcuts import redirect, render
from django.urls import path

GOODS = ["bread", "cheese", "apples"]


def window(request):
    return render(request, "window.html", {"goods": GOODS, "basket": request.session.get("basket", [])})


def add(request):
    good = request.POST.get("good", "")
    if good in GOODS:
        request.session["basket"] = request.session.get("basket", []) + [good]
    return redirect("/")


async def goods(request):
    """A coroutine: Django runs it behind WSGI and behind ASGI."""
    await asyncio.sleep(0)
    return JsonResponse({"goods": GOODS})


urlpatterns = [path("", window), path("add", add), path("goods", goods)]
